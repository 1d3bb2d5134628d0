// Style sheet and script of the page, inline so that the report is one file.
#include "tools/ceg/output/report/sections.h"

namespace isoloss::ceg::report {

// Colours: dark tones on paper, light ones on dark, each at least 3:1 against its ground and ordered so that
// neighbours differ for every common kind of colour blindness; shape and dashes carry the same information.
std::string_view style_sheet() {
  return R"css(:root{--paper:#fdfcfa;--raised:#f6f3ee;--ink:#1d1c1a;--soft:#5c5851;--rule:#dcd6cc;--grid:#e9e4db;
--floor:#8d877c38;--accent:#0b5a8f;--warn:#8a4b00;--warn-paper:#fff3df;--warn-rule:#e0a24a;
--good:#00664a;--bad:#a3341a;--base:#57534c;--again:#7d776d;--published:#6d675e;
--v0:#0b62a4;--v1:#c04a0a;--v2:#007a5a;--v3:#9c3785;--v4:#8a6500;--v5:#1a7f9c;--v6:#8c1f4d;--v7:#5e6412}
@media (prefers-color-scheme:dark){:root{--paper:#151618;--raised:#1e2023;--ink:#ece9e3;--soft:#a9a59d;--rule:#3a3b3e;
--grid:#2a2b2e;--floor:#b5b0a62e;--accent:#7fbcec;--warn:#f3c074;--warn-paper:#2b2215;--warn-rule:#8a6326;
--good:#5fd0a6;--bad:#ff9c80;--base:#b9b4ab;--again:#8f8a81;--published:#a09a90;
--v0:#6fb4f2;--v1:#ff9a62;--v2:#4ccfa2;--v3:#e596d3;--v4:#e2bd4e;--v5:#74d4ea;--v6:#ef7fa8;--v7:#c3ca6a}}
*{box-sizing:border-box}
html{background:var(--paper);color:var(--ink);-webkit-text-size-adjust:100%;
font:17px/1.58 Charter,"Bitstream Charter","Iowan Old Style","Source Serif 4",Cambria,Georgia,"Liberation Serif",serif}
body{margin:0}
main{max-width:60rem;margin:0 auto;padding:3.2rem 1.25rem 5rem}
h1,h2,h3{line-height:1.2;font-weight:600;letter-spacing:-.01em;text-wrap:balance}
h1{font-size:2.35rem;margin:.2rem 0 1.2rem;max-width:20em}
h2{font-size:1.5rem;margin:0 0 .5rem}
h3{font-size:1.12rem;margin:2rem 0 .6rem}
section{margin-top:3.4rem;padding-top:1.5rem;border-top:1px solid var(--rule)}
p,dl,li{max-width:44rem}
p{margin:.5rem 0 1rem}
a{color:var(--accent)}
code,pre{font-family:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono","Liberation Mono",monospace;font-size:.82em}
.kicker,.axis-name,figcaption,table,summary,.run,.switch,.legend,h4,.tag,.notes,svg text{
font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Liberation Sans",Arial,sans-serif}
.kicker{font-size:.78rem;letter-spacing:.09em;text-transform:uppercase;color:var(--soft);margin:0}
.lede{font-size:1.1rem;max-width:46rem;overflow-wrap:anywhere}
.axis-name{font-size:.78rem;color:var(--soft);margin:0 0 .45rem}
header .axis-name{display:none}
.muted{color:var(--soft);font-weight:400}
.name{overflow-wrap:anywhere}
.warnings{margin:2rem 0 0;padding:1rem 1.25rem;background:var(--warn-paper);border:1px solid var(--warn-rule);
border-left-width:5px;border-radius:6px;overflow-wrap:anywhere}
.warnings h2{font-size:1.08rem;color:var(--warn)}
.warnings ul{margin:0;padding-left:1.2rem;font-size:.95rem}
.warnings li{margin:.3rem 0}
.warnings p{font-size:.86rem;margin:.6rem 0 0}
.tag{font-size:.74rem;border:1px solid var(--warn-rule);border-radius:3px;padding:0 .35em;color:var(--warn);white-space:nowrap}
.switch{position:sticky;top:0;z-index:3;display:flex;align-items:center;gap:.7rem;margin:1.8rem -1.25rem 0;
padding:.55rem 1.25rem;background:var(--paper);border-bottom:1px solid var(--rule);font-size:.84rem}
.switch[hidden]{display:none}
.switch-label{color:var(--soft);white-space:nowrap}
.switch-buttons{display:flex;position:relative;gap:.35rem;overflow-x:auto;scrollbar-width:thin;padding:2px}
.switch button{font:inherit;color:var(--ink);background:none;border:1px solid var(--rule);border-radius:999px;
padding:.28em .9em;white-space:nowrap;cursor:pointer}
.switch button[aria-pressed=true]{background:var(--ink);color:var(--paper);border-color:var(--ink)}
.switch+section{border-top:0;margin-top:1rem}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
.box{overflow-x:auto;margin:.6rem 0 1rem}
table{border-collapse:separate;border-spacing:0;width:100%;font-size:.86rem;line-height:1.4;font-variant-numeric:tabular-nums lining-nums;
border-top:2px solid var(--ink);border-bottom:2px solid var(--ink)}
th,td{text-align:left;vertical-align:top;padding:.42rem .9rem .42rem 0;white-space:nowrap;font-weight:400}
th:last-child,td:last-child{padding-right:0}
thead th{color:var(--soft);font-size:.78rem;vertical-align:bottom;border-bottom:1px solid var(--ink)}
tbody tr+tr>*{border-top:1px solid var(--grid)}
tbody tr.group>*{border-top:1px solid var(--rule);padding-top:1rem;font-weight:600;white-space:normal}
tbody tr.group:first-child>*{border-top:0;padding-top:.6rem}
.group .plain{font-weight:400;color:var(--soft);padding-left:.6em}
tr.total>*{border-top:1px solid var(--soft)!important}
.n{text-align:right}
.strong,tr.strong>*{font-weight:650}
td.class{white-space:normal;min-width:6rem}
td.wrap{white-space:normal;min-width:15rem}
th[scope=row]{white-space:normal;min-width:8.5rem;max-width:17rem}
.main th[scope=row]{min-width:11rem}
.arm{display:flex;gap:.25rem;align-items:baseline}
.above{color:var(--good)}.below{color:var(--bad)}.within{color:var(--soft)}
figure{margin:1rem 0 1.6rem}
figcaption{font-size:.82rem;line-height:1.5;color:var(--soft);max-width:46rem;margin-top:.5rem}
.chart{display:block;width:100%;height:auto;overflow:visible}
.chart.narrow,.legend.narrow{display:none}
.grid-box{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(17.5rem,100%),1fr));gap:1.3rem 1.1rem}
.cell{min-width:0;display:flex;flex-direction:column;justify-content:flex-end}
.cell h4{margin:0 0 .15rem;font-size:.84rem;font-weight:600;line-height:1.35}
.cell h4 .muted{display:block;font-size:.8rem;font-variant-numeric:tabular-nums}
.formula{white-space:nowrap}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.15rem 1rem;margin:.6rem 0 0;padding:0;font-size:.82rem}
.legend li{display:flex;gap:.4rem;align-items:center}
.swatch{flex:none;width:34px;height:14px;vertical-align:-2px;margin-right:.3rem}
.notes{font-size:.84rem;color:var(--soft);padding-left:1.6rem}
.flag{font-style:normal;font-weight:600;color:var(--warn)}
dl{margin:.4rem 0;display:grid;grid-template-columns:minmax(8rem,12rem) 1fr;gap:.7rem 1.4rem;max-width:50rem}
dt{font-weight:600}dd{margin:0}
details{margin:.7rem 0}
summary{cursor:pointer;font-size:.86rem;overflow-wrap:anywhere}
p.run{font-size:.86rem;margin:.4rem 0;overflow-wrap:anywhere}
details.run{margin:.4rem 0}
pre{overflow:auto;max-height:26rem;background:var(--raised);border-radius:6px;padding:.9rem 1rem;line-height:1.45}
svg text{fill:var(--ink);font-variant-numeric:tabular-nums}
svg .tick{font-size:11px;fill:var(--soft)}
svg .axis-label{font-size:11.5px;fill:var(--soft)}
svg .label{font-size:12.5px}
svg .strong{font-weight:600}
svg .published-text{fill:var(--published)}
svg .target-text{font-size:11.5px;fill:var(--soft);paint-order:stroke;stroke:var(--paper);stroke-width:4px}
svg .gain-text{font-size:13px;font-weight:650;paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}
.grid{stroke:var(--grid);stroke-width:1}
.axis{stroke:var(--soft);stroke-width:1}
.reference{stroke:var(--ink);stroke-width:1.2}
.target{stroke:var(--soft);stroke-width:1.1;stroke-dasharray:5 4}
.leader{fill:none;stroke:var(--rule);stroke-width:1}
.zebra{fill:var(--raised)}
.floor{fill:var(--floor)}
.line{fill:none;stroke:var(--c);stroke-width:1.4;stroke-linejoin:round;stroke-linecap:butt}
.line.base{stroke-width:1.7}
.strong-line{stroke-width:2}
.whisker{stroke:var(--c);stroke-width:1.7}
.bound{stroke:var(--c);stroke-width:1.2}
.mark{fill:var(--c);stroke:var(--paper);stroke-width:1}
.hollow{fill:var(--paper);stroke:var(--c);stroke-width:1.6}
.band{fill:var(--c);fill-opacity:.17}
.gain{stroke:var(--ink);stroke-width:2}
.gain-head{fill:var(--ink)}
.base{--c:var(--base)}.again{--c:var(--again)}.published{--c:var(--published)}
.c0{--c:var(--v0)}.c1{--c:var(--v1)}.c2{--c:var(--v2)}.c3{--c:var(--v3)}
.c4{--c:var(--v4)}.c5{--c:var(--v5)}.c6{--c:var(--v6)}.c7{--c:var(--v7)}
.series:hover .line{stroke-width:3}
.chart:has(.series:hover) .series:not(:hover){opacity:.3}
@media (max-width:680px){html{font-size:16px}main{padding-top:2rem}h1{font-size:1.75rem}.lede{font-size:1.02rem}
.chart.wide{display:none}.chart.narrow{display:block}.legend.narrow{display:flex}
dl{grid-template-columns:1fr;gap:.1rem}dd{margin-bottom:.8rem}
.box th:first-child:not([colspan]){position:sticky;left:0;background:var(--paper);z-index:1;
min-width:7rem;max-width:8rem}
.box .swatch{display:none}
.stay{display:inline-block;position:sticky;left:0;max-width:calc(100vw - 2.5rem)}.group .plain{padding-left:0}}
@media print{html{font-size:10.5pt;background:#fff}.switch{display:none!important}section{break-inside:auto}
figure,.cell,tr{break-inside:avoid}.box{overflow:visible}}
)css";
}

// Shows one cost axis at a time. The page is complete without it; what is read stays where it was on the screen.
std::string_view script() {
  return R"js((() => {
  const blocks = [...document.querySelectorAll("[data-cost]")];
  const buttons = [...document.querySelectorAll("[data-axis]")];
  if (buttons.length < 2) return;
  const show = axis => {
    for (const block of blocks) block.hidden = block.dataset.cost !== axis;
    for (const button of buttons) {
      const chosen = button.dataset.axis === axis;
      button.setAttribute("aria-pressed", String(chosen));
      if (chosen) button.parentElement.scrollLeft = button.offsetLeft - 24;
    }
  };
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const seen = [...document.querySelectorAll("section")].find(part => part.getBoundingClientRect().bottom > 60);
      const before = seen.getBoundingClientRect().top;
      show(button.dataset.axis);
      window.scrollBy(0, seen.getBoundingClientRect().top - before);
    });
  }
  document.querySelector(".switch").hidden = false;
  show(document.body.dataset.first);
})();
)js";
}

}  // namespace isoloss::ceg::report
