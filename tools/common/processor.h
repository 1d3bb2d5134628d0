// Programs are compiled for the processor of the machine that builds them; what happens on an older one.
#pragma once

namespace isoloss {

/// From now on an instruction that this processor lacks ends the program with one line and exit code 1 instead of a
/// signal. Runs by itself before all other code of a program; run_program calls it so that the linker keeps it.
void watch_instructions();

}  // namespace isoloss
