#if defined(__x86_64__)
// System V: the callee keeps rbx, rbp, r12-r15; everything else is dead across a call. What the compiler emits after
// this, AddressSanitizer's constructor for one, must find the section it left.
asm(R"(
.pushsection .text
.globl simt_switch
.type simt_switch,@function
simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size simt_switch,.-simt_switch
.popsection
)");
#endif
