//! Gives each image of a graph a place in memory, so that images that never live together share one.

use crate::graph::{Graph, Value};

/// Where an image lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The caller's input.
    Input,
    /// The caller's output.
    Output,
    /// Slot `number` of the network's own memory.
    Slot(usize),
}

/// Places of all images, and the length each slot needs, in f32.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) places: Vec<Option<Place>>,
    pub(crate) slot_lens: Vec<usize>,
}

impl Plan {
    /// Walks the layers in order, reusing the slots of images that no later layer reads.
    pub(crate) fn new(graph: &Graph) -> Self {
        let mut last_read = vec![0; graph.shapes.len()];
        for (i, layer) in graph.layers.iter().enumerate() {
            layer.reads().for_each(|value| last_read[value] = i);
        }
        let mut plan = Self { places: vec![None; graph.shapes.len()], slot_lens: Vec::new() };
        plan.places[graph.input] = Some(Place::Input);
        plan.places[graph.output] = Some(Place::Output);
        let mut free = Vec::new();
        for (i, layer) in graph.layers.iter().enumerate() {
            plan.place(layer.output, graph.shape(layer.output).len(), &mut free);
            let mut done: Vec<Value> = layer.reads().chain([layer.output]).filter(|&v| last_read[v] <= i).collect();
            done.sort_unstable();
            done.dedup();
            for value in done {
                if let Some(Place::Slot(slot)) = plan.places[value] {
                    free.push(slot);
                }
            }
        }
        plan
    }

    fn place(&mut self, value: Value, len: usize, free: &mut Vec<usize>) {
        if self.places[value].is_some() {
            return;
        }
        // The free slot whose length is nearest: growing one costs memory, and so does wasting one.
        let best = (0..free.len()).min_by_key(|&i| self.slot_lens[free[i]].abs_diff(len));
        let slot = best.map(|i| free.swap_remove(i)).unwrap_or_else(|| {
            self.slot_lens.push(0);
            self.slot_lens.len() - 1
        });
        self.slot_lens[slot] = self.slot_lens[slot].max(len);
        self.places[value] = Some(Place::Slot(slot));
    }
}
