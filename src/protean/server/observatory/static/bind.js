// Keeps what the server rendered fresh. Elements say by themselves what they show:
//   data-text="path" data-as="kind"       text, formatted as format.js does; data-alarm="bad": that class when not 0
//   data-set="name:path ..."              data-name, for styles
//   data-show="path", data-hide="path"    visible while it is true, or is not
//   data-points="path"                    the line of an SVG polyline; the last value, of a minute not over, is left out
//   data-href="path"                      a link below the base
//   data-list="path" data-key="name"      a child per item, made of the <template> inside; paths begin at the item
// Nothing is written that has not changed, so that selections, focus and screen readers are left in peace.

import { points, show } from "./format.js";

export const base = document.querySelector('meta[name="base"]').content;

export function at(value, path) {
  for (const name of path ? path.split(".") : []) {
    if (value === null || value === undefined) return undefined;
    value = value[name];
  }
  return value;
}

export function fill(element, values) {
  const { dataset } = element;
  if (dataset.text !== undefined) fillText(element, at(values, dataset.text));
  if (dataset.set) {
    for (const pair of dataset.set.split(" ")) {
      const [name, path] = pair.split(":");
      const value = String(at(values, path) ?? "");
      if (dataset[name] !== value) dataset[name] = value;
    }
  }
  if (dataset.show) setHidden(element, !at(values, dataset.show));
  if (dataset.hide) setHidden(element, Boolean(at(values, dataset.hide)));
  if (dataset.points) setAttribute(element, "points", points((at(values, dataset.points) ?? []).slice(0, -1)));
  if (dataset.href) setAttribute(element, "href", `${base}/${at(values, dataset.href) ?? ""}`);
  if (dataset.list) fillList(element, at(values, dataset.list) ?? []);
  for (const child of element.children) {
    if (!dataset.list || child.dataset.item === undefined) fill(child, values);
  }
}

function fillText(element, value) {
  const text = show(value, element.dataset.as);
  if (element.textContent !== text) element.textContent = text;
  if (element.dataset.as === "count") element.classList.toggle("zero", value === 0);
  if (element.dataset.alarm) element.classList.toggle(element.dataset.alarm, Boolean(value));
}

function fillList(list, items) {
  const name = list.dataset.key;
  const there = new Map();
  for (const child of list.children) {
    if (child.dataset.item !== undefined) there.set(child.dataset.item, child);
  }
  const template = list.querySelector(":scope > template");
  let before = template;
  for (const item of items) {
    const key = String(at(item, name));
    let child = there.get(key);
    if (child) there.delete(key);
    else {
      child = template.content.firstElementChild.cloneNode(true);
      child.dataset.item = key;
    }
    fill(child, item);
    if (before.nextElementSibling !== child) before.after(child);
    before = child;
  }
  for (const child of there.values()) child.remove();
}

function setHidden(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}
