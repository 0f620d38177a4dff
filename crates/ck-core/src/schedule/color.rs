//! Edge colouring of a bipartite multigraph with as many colours as its largest degree (König).
//!
//! Divide and conquer by Euler splitting: half of the edges of every vertex to each side, until no
//! two edges meet. Where the degree is odd the halves need one colour too many; its smallest class
//! is coloured anew along alternating paths (Gabow and Kariv, *Algorithms for Edge Coloring
//! Bipartite Graphs and Multigraphs*, 1982). About O(E log Δ) with short paths.

use alloc::vec;
use alloc::vec::Vec;

const NONE: u32 = u32::MAX;

/// A colour below `colors` for every edge from `left[e]` to `right[e]`, so that no node has more of
/// one colour on a side than it must: of `c` edges, `⌈c / colors⌉`.
pub(super) fn color(left: &[u32], right: &[u32], nodes: usize, colors: u32) -> Vec<u32> {
    let (left, lefts) = clones(left, nodes, colors);
    let (right, rights) = clones(right, nodes, colors);
    let right: Vec<u32> = right.into_iter().map(|end| end + lefts).collect();
    let edges: Vec<u32> = (0..left.len() as u32).collect();
    let mut painter = Painter {
        colors: vec![0; left.len()],
        mates: [vec![NONE; left.len()], vec![NONE; left.len()]],
        side: vec![0; left.len()],
        ends: [left, right],
        vertices: (lefts + rights) as usize,
    };
    painter.paint(&edges, colors, 0);
    painter.colors
}

/// Splits nodes into vertices of at most `limit` edges, and joins those that have room for each
/// other: a colouring of the joined ones is one of each. There are then at most about twice as
/// many vertices as edges divided by the limit, which bounds the memory.
fn clones(ends: &[u32], nodes: usize, limit: u32) -> (Vec<u32>, u32) {
    let mut counts = vec![0_u32; nodes];
    for end in ends {
        counts[*end as usize] += 1;
    }
    let (mut next, mut open, mut room) = (0_u32, NONE, 0);
    let mut places = Vec::with_capacity(nodes);
    for count in &counts {
        let (whole, rest) = (count / limit, count % limit);
        let first = next;
        next += whole;
        if rest > room {
            (open, room) = (next, limit);
            next += 1;
        }
        room -= rest;
        places.push((first, whole, open));
    }
    counts.fill(0);
    let vertex = |end: &u32| {
        let seen = &mut counts[*end as usize];
        let clone = *seen / limit;
        *seen += 1;
        let (first, whole, rest) = places[*end as usize];
        if clone < whole { first + clone } else { rest }
    };
    (ends.iter().map(vertex).collect(), next)
}

struct Painter {
    /// Vertex of every edge on either side; those on the right are numbered after the left ones.
    ends: [Vec<u32>; 2],
    vertices: usize,
    colors: Vec<u32>,
    /// While splitting: the edge that an edge is paired with at either end.
    mates: [Vec<u32>; 2],
    /// While splitting: 0 not assigned, 1 or 2 the half.
    side: Vec<u8>,
}

impl Painter {
    /// Colours `edges`, of which no vertex has more than `degree`, with `degree` colours.
    fn paint(&mut self, edges: &[u32], degree: u32, first: u32) {
        if degree <= 1 || edges.is_empty() {
            for edge in edges {
                self.colors[*edge as usize] = first;
            }
            return;
        }
        let half = degree.div_ceil(2);
        let (one, other) = self.split(edges);
        self.paint(&one, half, first);
        self.paint(&other, half, first + half);
        drop((one, other));
        if degree % 2 == 1 {
            self.shrink(edges, degree, first);
        }
    }

    /// Two halves in which every vertex has half of its edges, rounded up or down.
    ///
    /// At every vertex edges are paired; pairs form paths and even cycles, along which edges go to
    /// the halves in turn.
    fn split(&mut self, edges: &[u32]) -> (Vec<u32>, Vec<u32>) {
        let mut waiting = vec![NONE; self.vertices];
        for (mates, ends) in self.mates.iter_mut().zip(&self.ends) {
            for edge in edges {
                mates[*edge as usize] = NONE;
                let single = &mut waiting[ends[*edge as usize] as usize];
                if *single == NONE {
                    *single = *edge;
                } else {
                    mates[*edge as usize] = *single;
                    mates[*single as usize] = *edge;
                    *single = NONE;
                }
            }
        }
        for edge in edges {
            self.side[*edge as usize] = 0;
        }
        let mut reached = Vec::new();
        for start in edges {
            if self.side[*start as usize] == 0 {
                self.side[*start as usize] = 1;
                reached.push(*start);
            }
            while let Some(edge) = reached.pop() {
                for mates in &self.mates {
                    let mate = mates[edge as usize];
                    if mate != NONE && self.side[mate as usize] == 0 {
                        self.side[mate as usize] = 3 - self.side[edge as usize];
                        reached.push(mate);
                    }
                }
            }
        }
        edges
            .iter()
            .partition(|edge| self.side[**edge as usize] == 1)
    }

    /// Brings `edges`, coloured with one colour more, down to `degree` colours.
    fn shrink(&mut self, edges: &[u32], degree: u32, first: u32) {
        let last = first + degree;
        let mut sizes = vec![0_u32; degree as usize + 1];
        for edge in edges {
            sizes[(self.colors[*edge as usize] - first) as usize] += 1;
        }
        let least = (0..=degree).min_by_key(|color| sizes[*color as usize]);
        let least = first + least.unwrap_or(degree);
        let mut taken = Taken {
            edge_at: vec![NONE; self.vertices * degree as usize],
            degree,
        };
        let mut bare = Vec::new();
        for edge in edges {
            let color = &mut self.colors[*edge as usize];
            if *color == least {
                bare.push(*edge);
                continue;
            }
            if *color == last {
                *color = least;
            }
            for ends in &self.ends {
                *taken.of(ends[*edge as usize], *color - first) = *edge;
            }
        }
        let mut path = Vec::new();
        for edge in bare {
            let [from, to] = [0, 1].map(|side| self.ends[side][edge as usize]);
            let (color, other) = (taken.free(from), taken.free(to));
            // Free `color` at the right end: the path that starts there never comes back to the
            // left end, which it could enter by that colour only.
            let (mut vertex, mut next) = (to, color);
            loop {
                let step = *taken.of(vertex, next);
                if step == NONE {
                    break;
                }
                path.push(step);
                let [a, b] = [0, 1].map(|side| self.ends[side][step as usize]);
                vertex = a + b - vertex;
                next = color + other - next;
            }
            for step in &path {
                for ends in &self.ends {
                    let old = self.colors[*step as usize] - first;
                    *taken.of(ends[*step as usize], old) = NONE;
                }
            }
            for step in path.drain(..) {
                let new = color + other - (self.colors[step as usize] - first);
                self.colors[step as usize] = first + new;
                for ends in &self.ends {
                    *taken.of(ends[step as usize], new) = step;
                }
            }
            self.colors[edge as usize] = first + color;
            for end in [from, to] {
                *taken.of(end, color) = edge;
            }
        }
    }
}

/// The edge of each colour at each vertex.
struct Taken {
    edge_at: Vec<u32>,
    degree: u32,
}

impl Taken {
    fn of(&mut self, vertex: u32, color: u32) -> &mut u32 {
        &mut self.edge_at[vertex as usize * self.degree as usize + color as usize]
    }

    fn free(&self, vertex: u32) -> u32 {
        let start = vertex as usize * self.degree as usize;
        let colors = &self.edge_at[start..start + self.degree as usize];
        let free = colors.iter().position(|edge| *edge == NONE);
        free.expect("an edge without colour leaves one free at its vertex") as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_colours_as_the_largest_degree_suffice() {
        let mut state = 1_u64;
        let mut roll = move |sides: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % sides
        };
        for _ in 0..300 {
            let nodes = 1 + roll(12) as usize;
            let count = roll(200);
            let mut ends =
                || -> Vec<u32> { (0..count).map(|_| roll(nodes as u64) as u32).collect() };
            let (left, right) = (ends(), ends());
            let most = |ends: &[u32]| {
                let of = |node| ends.iter().filter(|end| **end == node).count() as u32;
                (0..nodes as u32).map(of).max().unwrap_or(0)
            };
            for clones in 1..4 {
                let limit = most(&left).max(most(&right)).div_ceil(clones).max(1);
                let colors = color(&left, &right, nodes, limit);
                for round in 0..limit {
                    let at = |ends: &[u32]| -> Vec<u32> {
                        let of_round = ends.iter().zip(&colors).filter(|(_, c)| **c == round);
                        of_round.map(|(end, _)| *end).collect()
                    };
                    assert!(most(&at(&left)) <= clones && most(&at(&right)) <= clones);
                }
                assert!(colors.iter().all(|color| *color < limit));
            }
        }
    }
}
