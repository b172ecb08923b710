//! The picture as SVG: waves are columns, systems have colours, arrows run around boxes. It carries its own style for
//! light and dark pages, and needs no script and no font.

use std::collections::BTreeMap;
use std::fmt::Write;

use fraktalia_plan::{Impact, Plan};
use unicode_width::UnicodeWidthStr;

use super::layout::{self, Layout};
use super::picture::{Node, Picture};
use crate::render::escape::visible;
use crate::render::line::shortened;
use crate::render::plan::counts;

const MARGIN: f64 = 24.0;
const BOX: f64 = 250.0;
const COLUMN_GAP: f64 = 72.0;
const ROW_GAP: f64 = 16.0;
const LANE: f64 = 10.0;
/// Space above the boxes: the headline and the names of the waves.
const HEAD: f64 = 78.0;
/// Space below them: the legend.
const FOOT: f64 = 44.0;
const LINE: f64 = 16.0;
/// Characters that fit into a box, of which a title has two lines.
const FITS: usize = 30;
const NOTICE_FITS: usize = 37;
const MIN_WIDTH: f64 = 640.0;

/// The colour of a system.
pub fn colour(system: &str) -> &'static str {
    match system.split('@').next().unwrap_or(system) {
        "matrix" => "#0a9a84",
        "openclaw" => "#d8573c",
        "docker" => "#2b7fd4",
        "workspace" => "#b7860b",
        "forwards" => "#8a5bd1",
        "firewall" => "#c2417c",
        _ => "#6b7785",
    }
}

/// A plan as a picture.
pub fn svg(plan: &Plan) -> String {
    let picture = Picture::of(plan);
    let boxes: Vec<Content> = picture.nodes.iter().map(Content::of).collect();
    let heights: Vec<f64> = boxes.iter().map(|content| content.height).collect();
    let layout = layout::place(&picture, &heights, ROW_GAP, LANE);
    let columns = f64::from(u32::try_from(picture.waves.len()).unwrap_or(u32::MAX));
    let width = (MARGIN * 2.0 + columns * BOX + (columns - 1.0).max(0.0) * COLUMN_GAP).max(MIN_WIDTH);
    let height = HEAD + layout.height + FOOT + MARGIN;

    let mut page = String::new();
    let headline = counts(plan).unwrap_or_else(|| "nothing to do".into());
    let _ = writeln!(
        page,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"Plan for {}: {}\">",
        text(&plan.realm),
        text(&headline)
    );
    page.push_str(STYLE);
    let _ = writeln!(page, "<rect class=\"page\" width=\"100%\" height=\"100%\" rx=\"12\"/>");
    let _ = writeln!(
        page,
        "<text x=\"{MARGIN}\" y=\"34\" class=\"realm\">{}<tspan class=\"counts\" dx=\"12\">{}</tspan></text>",
        text(&plan.realm),
        text(&headline)
    );
    waves(plan, &picture, &mut page);
    arrows(&layout, &mut page);
    for slot in &layout.slots {
        if let Some(node) = slot.node {
            let top = HEAD + slot.y - slot.height / 2.0;
            draw(&picture.nodes[node], &boxes[node], left(slot.column), top, &mut page);
        }
    }
    legend(&picture, height - MARGIN, &mut page);
    page.push_str("</svg>\n");
    page
}

fn left(column: usize) -> f64 {
    MARGIN + f64::from(u32::try_from(column).unwrap_or(u32::MAX)) * (BOX + COLUMN_GAP)
}

fn waves(plan: &Plan, picture: &Picture, page: &mut String) {
    for (column, wave) in picture.waves.iter().enumerate() {
        let last = wave.iter().any(|&node| picture.nodes[node].impact.is_irreversible());
        let steps: usize = wave.iter().map(|&node| picture.nodes[node].steps.len()).sum();
        let at_once = if steps > 1 { format!(" · {steps} at once") } else { String::new() };
        let end = if last && plan.steps.len() > 1 { " · cannot be taken back" } else { "" };
        let _ = writeln!(
            page,
            "<text x=\"{}\" y=\"62\" class=\"wave\">wave {}{at_once}{end}</text>",
            left(column),
            column + 1
        );
    }
}

/// What stands in a box.
struct Content {
    title: Vec<String>,
    notice: Option<String>,
    height: f64,
}

impl Content {
    fn of(node: &Node) -> Self {
        let title = wrapped(&visible(&node.title));
        let notice = match &node.impact {
            Impact::Quiet => None,
            Impact::Disruptive(what) => Some(format!("! {what}")),
            Impact::Irreversible(what) => Some(format!("!! {what}")),
        };
        let lines = title.len() + usize::from(notice.is_some());
        let height = 36.0 + LINE * f64::from(u32::try_from(lines).unwrap_or(3));
        Self { title, notice: notice.map(|text| shortened(&visible(&text), NOTICE_FITS)), height }
    }
}

/// A title in at most two lines, broken at a space where there is one.
fn wrapped(title: &str) -> Vec<String> {
    if title.width() <= FITS {
        return vec![title.into()];
    }
    let mut first = String::new();
    let mut rest = title;
    for word in title.split_inclusive(' ') {
        if first.width() + word.trim_end().width() > FITS {
            break;
        }
        first.push_str(word);
        rest = &title[first.len()..];
    }
    if first.is_empty() {
        return vec![shortened(title, FITS)];
    }
    vec![first.trim_end().into(), shortened(rest, FITS)]
}

fn draw(node: &Node, content: &Content, x: f64, y: f64, page: &mut String) {
    let height = content.height;
    let mark = match node.impact {
        Impact::Quiet => "",
        Impact::Disruptive(_) => " disruptive",
        Impact::Irreversible(_) => " irreversible",
    };
    page.push_str("<g>");
    let _ = write!(page, "<title>{}</title>", text(&node.titles.join("\n")).replace("\\n", "\n"));
    if node.steps.len() > 1 {
        for behind in [8.0, 4.0] {
            let _ = write!(
                page,
                "<rect class=\"behind\" x=\"{:.1}\" y=\"{:.1}\" width=\"{BOX}\" height=\"{height:.1}\" rx=\"8\"/>",
                x + behind,
                y + behind
            );
        }
    }
    let _ = write!(
        page,
        "<rect class=\"box{mark}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{BOX}\" height=\"{height:.1}\" rx=\"8\"/>\
         <path fill=\"{colour}\" d=\"M{left:.1} {y:.1}a8 8 0 0 0-8 8v{side:.1}a8 8 0 0 0 8 8z\"/>\
         <text x=\"{text_x:.1}\" y=\"{caption:.1}\" class=\"system\" fill=\"{colour}\">{system}</text>\
         <text x=\"{right:.1}\" y=\"{caption:.1}\" class=\"number\">{number}</text>",
        colour = colour(&node.system),
        left = x + 8.0,
        side = height - 16.0,
        text_x = x + 18.0,
        caption = y + 19.0,
        system = text(&node.system),
        right = x + BOX - 12.0,
        number = number(node),
    );
    let mut baseline = y + 38.0;
    for line in &content.title {
        let _ = write!(
            page,
            "<text x=\"{:.1}\" y=\"{baseline:.1}\" class=\"title\">{}</text>",
            x + 18.0,
            text(line)
        );
        baseline += LINE;
    }
    if let Some(notice) = &content.notice {
        let _ = write!(
            page,
            "<text x=\"{:.1}\" y=\"{baseline:.1}\" class=\"notice{mark}\">{}</text>",
            x + 18.0,
            text(notice)
        );
    }
    page.push_str("</g>\n");
}

fn number(node: &Node) -> String {
    match node.steps.as_slice() {
        [one] => one.to_string(),
        many => format!("× {}", many.len()),
    }
}

/// Arrows, behind the boxes; where several meet a box, each has a place of its own at its side.
fn arrows(layout: &Layout, page: &mut String) {
    let mut leaving: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut arriving: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, route) in layout.routes.iter().enumerate() {
        leaving.entry(route[0]).or_default().push(index);
        arriving.entry(route[route.len() - 1]).or_default().push(index);
    }
    let y = |slot: usize| layout.slots[slot].y;
    let mut start = BTreeMap::new();
    let mut end = BTreeMap::new();
    for (slot, mut routes) in leaving {
        routes.sort_by(|&a, &b| y(layout.routes[a][1]).total_cmp(&y(layout.routes[b][1])));
        ports(layout, slot, &routes, &mut start);
    }
    for (slot, mut routes) in arriving {
        let before = |route: usize| y(layout.routes[route][layout.routes[route].len() - 2]);
        routes.sort_by(|&a, &b| before(a).total_cmp(&before(b)));
        ports(layout, slot, &routes, &mut end);
    }
    for (index, route) in layout.routes.iter().enumerate() {
        let _ = writeln!(
            page,
            "<path class=\"arrow\" marker-end=\"url(#tip)\" d=\"{}\"/>",
            way(layout, route, start[&index], end[&index])
        );
    }
}

fn ports(layout: &Layout, slot: usize, routes: &[usize], at: &mut BTreeMap<usize, f64>) {
    let slot = &layout.slots[slot];
    let count = f64::from(u32::try_from(routes.len()).unwrap_or(u32::MAX));
    let space = (slot.height / (count + 1.0)).min(12.0);
    let mut y = slot.y - space * (count - 1.0) / 2.0;
    for &route in routes {
        at.insert(route, y);
        y += space;
    }
}

/// From the right side of the first box, straight through the lanes, to the left side of the last.
fn way(layout: &Layout, route: &[usize], start: f64, end: f64) -> String {
    let first = &layout.slots[route[0]];
    let (mut x, mut y) = (left(first.column) + BOX, HEAD + start);
    let mut path = format!("M{x:.1} {y:.1}");
    for (index, &slot) in route.iter().enumerate().skip(1) {
        let slot = &layout.slots[slot];
        let last = index == route.len() - 1;
        let to_x = left(slot.column) - if last { 8.5 } else { 0.0 };
        let to_y = HEAD + if last { end } else { slot.y };
        let middle = x.midpoint(to_x);
        let _ = write!(path, "C{middle:.1} {y:.1} {middle:.1} {to_y:.1} {to_x:.1} {to_y:.1}");
        (x, y) = (to_x, to_y);
        if !last {
            x += BOX;
            let _ = write!(path, "H{x:.1}");
        }
    }
    path
}

fn legend(picture: &Picture, y: f64, page: &mut String) {
    let mut x = MARGIN;
    for system in picture.systems() {
        let label = text(&shortened(&visible(system), 24));
        let _ = writeln!(
            page,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4.5\" fill=\"{}\"/><text x=\"{:.1}\" y=\"{y:.1}\" class=\"legend\">{label}</text>",
            x + 5.0,
            y - 4.0,
            colour(system),
            x + 15.0
        );
        x += 36.0 + 7.0 * f64::from(u32::try_from(system.width().min(24)).unwrap_or(24));
    }
}

/// Text inside XML.
fn text(raw: &str) -> String {
    visible(raw).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Colours are written out for light and again for dark pages: not every viewer knows CSS variables.
const STYLE: &str = r#"<style>
svg { font-family: ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
.page { fill: #fbfaf7; }
.box, .behind { fill: #ffffff; stroke: #d9d5cb; }
.arrow { fill: none; stroke: #a39e92; stroke-width: 1.5; }
.tip { fill: #a39e92; }
.realm { font-size: 17px; font-weight: 700; }
.realm, .title { fill: #24292f; }
.counts { font-size: 13px; font-weight: 400; }
.wave { font-size: 11px; letter-spacing: .04em; }
.number { font-size: 11px; text-anchor: end; }
.legend { font-size: 11.5px; }
.counts, .wave, .number, .legend { fill: #77736a; }
.system { font-size: 11px; font-weight: 600; }
.title { font-size: 13px; }
.notice { font-size: 11px; }
.box.disruptive { stroke: #a35f00; stroke-width: 1.5; }
.box.irreversible { stroke: #c62f3b; stroke-width: 1.5; stroke-dasharray: 5 4; }
.notice.disruptive { fill: #a35f00; }
.notice.irreversible { fill: #c62f3b; }
@media (prefers-color-scheme: dark) {
.page { fill: #15181c; }
.box, .behind { fill: #1f242a; stroke: #39414a; }
.arrow { stroke: #66717d; }
.tip { fill: #66717d; }
.realm, .title { fill: #e8e6e1; }
.counts, .wave, .number, .legend { fill: #9aa3ad; }
.box.disruptive { stroke: #e0a03c; }
.box.irreversible { stroke: #ff6d75; }
.notice.disruptive { fill: #e0a03c; }
.notice.irreversible { fill: #ff6d75; }
}
</style>
<defs><marker id="tip" viewBox="0 0 8 8" refX="1" refY="4" markerWidth="6" markerHeight="6" orient="auto-start-reverse"><path class="tip" d="M0 0 8 4 0 8z"/></marker></defs>
"#;
