#!/usr/bin/env bash
# Draws forest.svg anew: the forest plot of the report on curves.csv, cut out so that it stands alone.
#   tools/ceg/example/picture.sh [CEG]     CEG: the program (default: build/bin/ceg)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
ceg=${1:-build/bin/ceg}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$ceg" tools/ceg/example/curves.csv --baseline baseline --cost flops --report "$folder" --quiet > /dev/null

# The page's colours and classes, without what it does on a small screen or on paper.
style=$(sed -n '/<style>/,/<\/style>/p' "$folder/index.html" | sed -e 's/<\/*style>//' -e '/^@media (max-width/,$d')
plot=$(sed -n '/<svg [^>]*class="chart wide"[^>]*"forest-flops-/,/<\/svg>/p' "$folder/index.html")
if [ -z "$plot" ] || [ -z "$style" ]; then
  echo "error: [picture.sh] expected a forest plot in the report, got none" >&2
  exit 1
fi
{
  sed -e '1s/<svg /<svg xmlns="http:\/\/www.w3.org\/2000\/svg" /' -e '1s/<title.*//' <<< "$plot" | sed -n 1p
  echo "<title>Compute-equivalent gain in training FLOPs: estimates, 95 % intervals, noise floor</title>"
  printf '<style><![CDATA[%s\n]]></style>\n<rect width="100%%" height="100%%" style="fill:var(--paper)"/>\n' "$style"
  sed -n '2,$p' <<< "$plot"
} > "$folder/forest.svg"
mv "$folder/forest.svg" tools/ceg/example/forest.svg
