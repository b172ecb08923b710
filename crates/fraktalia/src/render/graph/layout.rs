//! Where the boxes of a picture stand: waves are columns, and within a column a box stands near those it is joined
//! with. Arrows over several columns get a lane in each, so that they run around boxes and not through them.

use std::collections::BTreeMap;

use super::picture::Picture;

/// Rounds of moving boxes towards their neighbours; more change nothing that is seen.
const ROUNDS: usize = 8;

/// Something that takes height in a column: a box, or the lane of an arrow.
#[derive(Debug)]
pub struct Slot {
    /// The box; `None` for a lane.
    pub node: Option<usize>,
    pub column: usize,
    pub height: f64,
    /// Middle, from the top of the picture.
    pub y: f64,
}

/// Slots, and the way of each arrow through them.
#[derive(Debug)]
pub struct Layout {
    pub slots: Vec<Slot>,
    /// Slots by column, from top to bottom.
    pub columns: Vec<Vec<usize>>,
    /// For each arrow the slots it passes, both ends included.
    pub routes: Vec<Vec<usize>>,
    /// Height of all.
    pub height: f64,
}

/// Places `picture`, with boxes of the given heights, a gap between boxes, and lanes of height `lane`.
pub fn place(picture: &Picture, heights: &[f64], gap: f64, lane: f64) -> Layout {
    let mut layout = slots(picture, heights, lane);
    let neighbours = neighbours(&layout);
    stack(&mut layout, gap);
    let mut best = (crossings(&layout), layout.columns.clone());
    for round in 0..ROUNDS {
        order(&mut layout, &neighbours, round % 2 == 0);
        stack(&mut layout, gap);
        let crossed = crossings(&layout);
        if crossed < best.0 {
            best = (crossed, layout.columns.clone());
        }
    }
    layout.columns = best.1;
    stack(&mut layout, gap);
    for round in 0..ROUNDS {
        settle(&mut layout, &neighbours, gap, round % 2 == 0);
    }
    let top = edge(&layout, |slot| slot.y - slot.height / 2.0, f64::min);
    for slot in &mut layout.slots {
        slot.y -= top;
    }
    layout.height = edge(&layout, |slot| slot.y + slot.height / 2.0, f64::max);
    layout
}

fn edge(layout: &Layout, of: impl Fn(&Slot) -> f64, pick: impl Fn(f64, f64) -> f64) -> f64 {
    layout.slots.iter().map(of).reduce(pick).unwrap_or(0.0)
}

fn slots(picture: &Picture, heights: &[f64], lane: f64) -> Layout {
    let mut layout = Layout {
        slots: Vec::new(),
        columns: vec![Vec::new(); picture.waves.len()],
        routes: Vec::new(),
        height: 0.0,
    };
    let mut column_of = BTreeMap::new();
    for (column, wave) in picture.waves.iter().enumerate() {
        for &node in wave {
            column_of.insert(node, column);
            layout.columns[column].push(layout.slots.len());
            layout.slots.push(Slot { node: Some(node), column, height: heights[node], y: 0.0 });
        }
    }
    // Boxes were pushed in the order of their index, so a box and its slot have the same one.
    for &(from, to) in &picture.edges {
        let mut route = vec![from];
        for column in column_of[&from] + 1..column_of[&to] {
            route.push(layout.slots.len());
            layout.columns[column].push(layout.slots.len());
            layout.slots.push(Slot { node: None, column, height: lane, y: 0.0 });
        }
        route.push(to);
        layout.routes.push(route);
    }
    layout
}

/// The slots before and after each slot.
struct Neighbours {
    before: Vec<Vec<usize>>,
    after: Vec<Vec<usize>>,
}

fn neighbours(layout: &Layout) -> Neighbours {
    let mut before = vec![Vec::new(); layout.slots.len()];
    let mut after = vec![Vec::new(); layout.slots.len()];
    for pair in layout.routes.iter().flat_map(|route| route.windows(2)) {
        after[pair[0]].push(pair[1]);
        before[pair[1]].push(pair[0]);
    }
    Neighbours { before, after }
}

/// The mean height of what a slot is joined with on one side, or where it is.
fn wish(layout: &Layout, joined: &[usize], slot: usize) -> f64 {
    if joined.is_empty() {
        return layout.slots[slot].y;
    }
    #[expect(clippy::cast_precision_loss, reason = "a box has far fewer than 2^52 arrows")]
    let count = joined.len() as f64;
    joined.iter().map(|&other| layout.slots[other].y).sum::<f64>() / count
}

/// Sorts each column by where its slots wish to be.
fn order(layout: &mut Layout, neighbours: &Neighbours, rightward: bool) {
    for column in sweep(layout.columns.len(), rightward) {
        let joined = if rightward { &neighbours.before } else { &neighbours.after };
        let mut slots = std::mem::take(&mut layout.columns[column]);
        slots.sort_by(|&a, &b| wish(layout, &joined[a], a).total_cmp(&wish(layout, &joined[b], b)));
        layout.columns[column] = slots;
    }
}

fn sweep(columns: usize, rightward: bool) -> Box<dyn Iterator<Item = usize>> {
    if rightward { Box::new(0..columns) } else { Box::new((0..columns).rev()) }
}

/// How many pairs of arrows cross between two columns.
fn crossings(layout: &Layout) -> usize {
    let mut between: Vec<Vec<(f64, f64)>> = vec![Vec::new(); layout.columns.len()];
    for pair in layout.routes.iter().flat_map(|route| route.windows(2)) {
        let (from, to) = (&layout.slots[pair[0]], &layout.slots[pair[1]]);
        between[from.column].push((from.y, to.y));
    }
    let crossed = |a: &(f64, f64), b: &(f64, f64)| (a.0 - b.0) * (a.1 - b.1) < 0.0;
    let count = |arrows: &Vec<(f64, f64)>| -> usize {
        let after =
            |(index, a): (usize, &(f64, f64))| arrows[index..].iter().filter(|b| crossed(a, b)).count();
        arrows.iter().enumerate().map(after).sum()
    };
    between.iter().map(count).sum()
}

/// Puts the slots of each column below each other, all columns centred on one line.
fn stack(layout: &mut Layout, gap: f64) {
    for column in 0..layout.columns.len() {
        let slots = layout.columns[column].clone();
        let total: f64 = slots.iter().map(|&slot| layout.slots[slot].height + gap).sum();
        let mut top = -total / 2.0;
        for slot in slots {
            let height = layout.slots[slot].height;
            layout.slots[slot].y = top + height / 2.0;
            top += height + gap;
        }
    }
}

/// Moves every slot as near to its wish as order and gaps allow: least squares, by pooling those that would collide.
fn settle(layout: &mut Layout, neighbours: &Neighbours, gap: f64, rightward: bool) {
    let joined = if rightward { &neighbours.before } else { &neighbours.after };
    for column in sweep(layout.columns.len(), rightward) {
        let slots = layout.columns[column].clone();
        let mut offset = 0.0;
        let mut offsets = Vec::with_capacity(slots.len());
        // Each pool: the sum of wishes less offsets, and how many slots share it.
        let mut pools: Vec<(f64, f64)> = Vec::new();
        for &slot in &slots {
            let half = layout.slots[slot].height / 2.0;
            offset += half;
            offsets.push(offset);
            pools.push((wish(layout, &joined[slot], slot) - offset, 1.0));
            offset += half + gap;
            while let [.., (a, n), (b, m)] = pools[..]
                && a / n > b / m
            {
                pools.pop();
                if let Some(last) = pools.last_mut() {
                    *last = (a + b, n + m);
                }
            }
        }
        let mut slots = slots.into_iter().zip(offsets);
        for (sum, count) in pools {
            let mut left = count;
            while left > 0.5
                && let Some((slot, offset)) = slots.next()
            {
                layout.slots[slot].y = sum / count + offset;
                left -= 1.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing::garden;

    #[test]
    fn no_two_slots_of_a_column_overlap() {
        let picture = Picture::of(&garden());
        let heights = vec![40.0; picture.nodes.len()];
        let layout = place(&picture, &heights, 10.0, 4.0);
        for column in &layout.columns {
            for pair in column.windows(2) {
                let (above, below) = (&layout.slots[pair[0]], &layout.slots[pair[1]]);
                let space = (below.y - below.height / 2.0) - (above.y + above.height / 2.0);
                assert!(space > 9.99, "{space}");
            }
        }
        assert!(layout.slots.iter().all(|slot| slot.y - slot.height / 2.0 > -0.01));
    }

    #[test]
    fn an_arrow_over_a_column_has_a_lane_there() {
        let picture = Picture::of(&garden());
        let layout = place(&picture, &vec![40.0; picture.nodes.len()], 10.0, 4.0);
        assert!(layout.routes.iter().any(|route| route.len() == 3));
        for route in &layout.routes {
            for pair in route.windows(2) {
                assert_eq!(layout.slots[pair[0]].column + 1, layout.slots[pair[1]].column);
            }
        }
    }
}
