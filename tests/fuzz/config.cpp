// A configuration with one change is refused, or is the same after its way through the manifest, and can be planned.
#include "models/config.h"

#include "models/config_check.h"
#include "models/transformer.h"
#include "tests/fuzz/configuration.h"

namespace {
using namespace isoloss;

/// Where it is cheap: a plan has memory for what the model has.
void plan(const Configuration& configuration) {
  const ModelSpec& model = configuration.model;
  if (model.layers * model.width * model.context > 4 * 64 * 32 || model.vocab > 300 || model.mlp_ratio > 8) return;
  if (model.vocab < 1 || configuration.run.run.batch_tokens > 256) return;
  const TrainingPlan planned(model_graphs(model), configuration.run, DeviceKind::cpu);
  fuzz::require(planned.parameter_bytes() > 0 && planned.activation_bytes() > 0 && planned.step_cost().flops > 0,
                "a plan without memory or work");
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Choices choices(data, size);
  const std::vector<fuzz::Setting> settings = fuzz::valid_settings(choices);
  // The first part stands in the file, the others are given by --set.
  const auto split = settings.begin() + static_cast<std::ptrdiff_t>(choices.below(settings.size()));
  const std::string extends = choices.flag() ? "extends = \"nano\"\n" : "";
  // The preset asks for more evaluation tokens and beta2, which may have no effect; that is no matter where it does so.
  const fuzz::Document file(extends + fuzz::toml_of({settings.begin(), split}, choices.flag()), choices);
  std::vector<Override> overrides;
  bool valid = file.valid;
  for (auto setting = split; setting != settings.end(); ++setting) {
    std::string text = setting->first + "=" + setting->second;
    if (choices.rarely(16)) {
      const fuzz::Document change(text, choices);
      text = change.text;
      valid = valid && change.valid;
    }
    overrides.push_back({text});
  }
  const auto path = fuzz::scratch_folder() / "config.toml";
  fuzz::put_file(path, file.text);
  fuzz::accepted(valid, [&] {
    const Configuration configuration = load_configuration(path.string(), overrides);
    // The vocabulary may still be unknown, and paths need not be text: only then may the way back be refused.
    const std::string json = to_json(configuration, fuzz::scratch_folder());
    const Configuration again = from_json(json, fuzz::scratch_folder(), "fuzz");
    fuzz::require(to_json(again, fuzz::scratch_folder()) == json, "another configuration after its way through JSON");
    (void)surprises(configuration.run);
    (void)toggles_in_words(configuration.model);
    if (choices.rarely(8)) plan(configuration);
  });
  return 0;
}
