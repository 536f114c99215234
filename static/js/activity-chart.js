// <activity-chart data-series='{"at": [ISO …], "step": seconds, "accepted": [n …], "arrived": […], "opened": […], "failed": […]}'>:
// what happened over time, a line or bars for each series that is given. The table below it has the sums, for who cannot see it.

import { Chart } from "chart.js/auto";
import { dateFormat } from "./dates.js";

const DAY_S = 86_400;

function words(at, step) {
  const options = step >= DAY_S ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit" };
  return dateFormat(options).format(new Date(at));
}

class ActivityChart extends HTMLElement {
  static observedAttributes = ["data-series"];

  #chart = null;
  #theme = null;

  connectedCallback() {
    // A shadow root, so that what is drawn is no part of the page that `live.js` keeps up to date.
    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    root.replaceChildren(document.createElement("canvas"));
    this.#theme = new MutationObserver(() => this.#draw());
    this.#theme.observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
    this.#draw();
  }

  disconnectedCallback() {
    this.#theme.disconnect();
    this.#chart.destroy();
    this.#chart = null;
  }

  attributeChangedCallback() {
    if (this.#chart) this.#draw();
  }

  #draw() {
    const { at, step, ...series } = JSON.parse(this.dataset.series);
    const colours = getComputedStyle(this);
    const colour = (name) => colours.getPropertyValue(name).trim();
    const bars = { order: 1, stack: "outcome", pointStyle: "rect", maxBarThickness: 22, borderRadius: 2 };
    const line = { order: 0, type: "line", pointStyle: "line", pointRadius: at.length > 1 ? 0 : 3, pointHitRadius: 12, borderWidth: 2, tension: 0 };
    const drawn = (name, dash = []) => ({ ...line, borderColor: colour(name), backgroundColor: colour(name), borderDash: dash });
    const looks = {
      accepted: drawn("--muted"),
      sent: drawn("--muted"),
      opened: drawn("--link", [4, 4]),
      clicked: drawn("--raw-amber", [1, 3]),
      arrived: { ...bars, backgroundColor: colour("--raw-green") },
      delivered: { ...bars, backgroundColor: colour("--raw-green") },
      failed: { ...bars, backgroundColor: colour("--raw-red") },
    };
    this.#chart?.destroy();
    this.#chart = new Chart(this.shadowRoot.firstChild, {
      type: "bar",
      data: {
        labels: at.map((moment) => words(moment, step)),
        datasets: Object.entries(series).map(([label, data]) => ({ label, data, ...looks[label] })),
      },
      options: {
        animation: false,
        maintainAspectRatio: false,
        color: colour("--text"),
        font: { family: colours.fontFamily, size: 12 },
        interaction: { mode: "index", intersect: false },
        plugins: { legend: { position: "bottom", align: "start", labels: { usePointStyle: true, pointStyleWidth: 18, boxHeight: 7, color: colour("--text") } } },
        scales: {
          x: { stacked: true, grid: { display: false }, border: { color: colour("--line") }, ticks: { color: colour("--muted"), maxRotation: 0, autoSkipPadding: 24 } },
          y: { stacked: true, beginAtZero: true, grid: { color: colour("--line") }, border: { display: false }, ticks: { color: colour("--muted"), precision: 0, maxTicksLimit: 5 } },
        },
      },
    });
  }
}

customElements.define("activity-chart", ActivityChart);
