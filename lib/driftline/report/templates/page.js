"use strict";
(() => {
  const night = matchMedia("(prefers-color-scheme: dark)");
  // Each colour of charts.py and what it becomes on the dark page.
  const dark = {
    "#0072b2": "#5cb6ef", "#d55e00": "#ff9457", "#009e73": "#35c796", "#e69f00": "#f0b13a",
    "#a6548a": "#dd92c4", "#56b4e9": "#9cd3f5", "#8a94a3": "#8b98a8", "#5b4b8a": "#a897e0",
    "#8c6d31": "#cdb078", "rgba(0,114,178,0.16)": "rgba(92,182,239,0.18)",
    "rgba(0,114,178,0.22)": "rgba(92,182,239,0.28)",
  };
  const config = { displayModeBar: false, responsive: false, showTips: false, doubleClick: false };

  const read = (plot) =>
    JSON.parse(plot.parentElement.querySelector("script").textContent, (key, value) =>
      night.matches && typeof value === "string" && Object.hasOwn(dark, value) ? dark[value] : value);

  const dress = (plot, figure) => {
    const colour = (name) => getComputedStyle(plot).getPropertyValue(name).trim();
    const narrow = plot.clientWidth < 420;
    const small = plot.clientHeight < 200 && plot.clientWidth < 330;
    const layout = figure.layout;
    layout.font = { family: getComputedStyle(document.body).fontFamily, size: narrow || small ? 11 : 12.5, color: colour("--soft") };
    layout.paper_bgcolor = layout.plot_bgcolor = "rgba(0,0,0,0)";
    layout.margin ??= { l: small ? 34 : 48, r: small ? 8 : 14, t: small ? 8 : 14, b: layout.xaxis?.title ? 46 : 28 };
    layout.dragmode = false;
    layout.hoverlabel = { bgcolor: colour("--card"), bordercolor: colour("--line"), font: { color: colour("--ink") } };
    for (const name of ["xaxis", "yaxis"]) {
      layout[name] = {
        gridcolor: colour("--grid"), zerolinecolor: colour("--line"), linecolor: colour("--line"),
        fixedrange: true, automargin: true, ...layout[name],
      };
      if (layout[name].title) Object.assign(layout[name].title, { standoff: 8, font: { size: layout.font.size } });
    }
    if (figure.data[0]?.type === "sankey") {
      layout.font.color = colour("--ink");
      delete layout.xaxis;
      delete layout.yaxis;
    }
    return layout;
  };

  const draw = (plot) => {
    const figure = read(plot);
    plot.dataset.width = plot.clientWidth;
    Plotly.react(plot, figure.data, dress(plot, figure), config);
  };

  const plots = [...document.querySelectorAll(".plot")];
  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting) {
        near.unobserve(target);
        draw(target);
      }
    }
  }, { rootMargin: "600px 0px" });
  plots.forEach((plot) => near.observe(plot));
  const drawn = () => plots.filter((plot) => plot.dataset.width);
  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const { width } = target.dataset;
      if (width && target.clientWidth && Number(width) !== target.clientWidth) draw(target);
    }
  });
  plots.forEach((plot) => resized.observe(plot));
  night.addEventListener("change", () => drawn().forEach(draw));
  addEventListener("beforeprint", () =>
    plots.filter((plot) => !plot.dataset.width && plot.clientWidth).forEach(draw));

  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const bar = document.querySelector("nav .inner");
  let current = null;
  const follow = () => {
    let found = null;
    for (const [id, link] of links) {
      if (document.getElementById(id).getBoundingClientRect().top < 120) found = link;
    }
    if (found === current) return;
    current?.removeAttribute("aria-current");
    found?.setAttribute("aria-current", "true");
    current = found;
    if (found) bar.scrollTo({ left: found.offsetLeft - bar.clientWidth / 3 });
  };
  addEventListener("scroll", follow, { passive: true });
  follow();
})();
