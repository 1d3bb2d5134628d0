// The input of the statistics: measured loss curves of training runs, from run folders, CSV files or a W&B export.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace isoloss::ceg {

/// What a run has spent when a point of its curve was measured.
enum class CostAxis { steps, tokens, flops, flops_6nd, seconds, joules };
inline constexpr int kCosts = 6;
inline constexpr std::array<CostAxis, kCosts> kAllCosts{CostAxis::steps,     CostAxis::tokens,  CostAxis::flops,
                                                        CostAxis::flops_6nd, CostAxis::seconds, CostAxis::joules};

std::string_view cost_name(CostAxis cost);  ///< as on the command line: "flops_6nd"
std::string_view cost_unit(CostAxis cost);  ///< for axes: "training FLOPs (6 N D)"
std::optional<CostAxis> cost_from_name(std::string_view name);

/// One evaluation of one run.
struct Point {
  std::array<std::optional<double>, kCosts> cost;  ///< indexed by CostAxis; absent where the source has no such number
  double val_loss = 0;                             ///< nats per token, finite
  std::vector<double> block_losses;  ///< mean loss of each evaluation block, or empty; blocks are the same for all runs
};

/// What a reader came across in a run's source, and how it was taken.
struct Note {
  std::optional<CostAxis> lost;  ///< an axis that the run does not carry because of it
  std::string text;              ///< a sentence about the run, which is named before it
};

/// One training run.
struct Run {
  std::string variant, scale = "default";
  std::string variant_class;  ///< baseline, compute-independent, compute-dependent, systems; "" when not told
  std::int64_t seed = 0;
  std::vector<std::string> parts;  ///< of a combined variant: the names of the variants it combines; else empty
  std::vector<Point> points;       ///< in order of step, steps strictly increasing

  std::filesystem::path source;  ///< run folder or CSV file
  std::string manifest;          ///< the text of manifest.json; "" for CSV
  std::string evaluation_set;    ///< hash and token count of the evaluation set; "" when not told
  std::string training_data;     ///< hashes of the training shards; "" when not told
  std::string tokenizer;         ///< hash; "" when not told
  std::map<std::string, std::string>
      settings;             ///< of its configuration, but for seed, paths and records: "model.width"
  std::string hardware;     ///< of the machine, for seconds and joules; "" when not told
  std::string status;       ///< "finished" or what the manifest says; "planned": no folder; "" when not told
  std::vector<Note> notes;  ///< each becomes a warning
  /// Diverged before its loss fell, so that there is no curve: counts as a run that does not reach the target.
  bool failed = false;

  bool has(CostAxis cost) const;  ///< whether any point carries this cost
};

/// How CSV files are laid out.
enum class CsvLayout { isoloss, wandb };

/// Reads every path: a folder (the run folders at and below it, in order of path; a run folder holds manifest.json) or
/// a CSV file. What several paths or links lead to is read once. Throws (exit 2) naming file and line: unreadable,
/// malformed, no runs, a loss or cost that is not a finite number of a size that can be measured, two runs of one
/// (variant, scale, seed). Empty cells are passed over. A run that a sweep has planned and that is nowhere has no
/// points and the status `planned`.
std::vector<Run> read_runs(const std::vector<std::filesystem::path>& paths, CsvLayout layout);

/// One run folder: manifest.json and eval.jsonl. Throws (exit 2) where its steps do not rise or where the record of a
/// finished run does not end with the run. A run that is not finished may have no evaluation yet.
Run read_run_folder(const std::filesystem::path& folder);

/// Folders at and below one, in order of path.
struct FoundFolders {
  std::vector<std::filesystem::path> runs, sweeps;  ///< hold manifest.json, sweep.json
};

/// Looks everywhere but in a run's `checkpoints` and a sweep's `tuning`. Links are followed. Throws (exit 2) naming any
/// folder that cannot be read, and any eval.jsonl without its manifest.
FoundFolders find_folders(const std::filesystem::path& path);

/// The runs that a sweep has planned, without points; `source` is the folder that each has or would have. Those that
/// its caller left out are no part of the plan.
std::vector<Run> read_plan(const std::filesystem::path& sweep);

/// The runs of one CSV text; `name` stands in error lines. Columns: step, val_loss and, optionally, variant, scale,
/// seed, class, parts (separated by ';'), tokens, flops, flops_6nd, seconds, joules. Without a `variant` the file is
/// one run, named as the file is; the files of Lightning's CSVLogger and TensorBoard's downloads are such.
std::vector<Run> read_csv_runs(std::string_view text, const std::filesystem::path& name);

/// A Weights & Biases chart export: a `Step` column and columns named `RUN - val/loss`; `__MIN`, `__MAX` are passed
/// over. RUN becomes the variant; a trailing `-sN`, `_sN`, `-seedN` or `_seedN` (N an integer) becomes its seed.
std::vector<Run> read_wandb_runs(std::string_view text, const std::filesystem::path& name);

}  // namespace isoloss::ceg
