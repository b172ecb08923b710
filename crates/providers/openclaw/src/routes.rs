//! The bindings of a file in short, kept up to date while it is edited: thousands of edits ask where a binding stands.

use std::collections::HashMap;

use crate::dialect::Key;

/// The bindings as they stand; `None` for those that are none of ours.
#[derive(Debug)]
pub(crate) struct Routes {
    list: Vec<Option<Key>>,
    /// How often each is there.
    count: HashMap<Key, usize>,
    catch_all: Option<usize>,
}

impl Routes {
    pub fn new(list: Vec<Option<Key>>) -> Self {
        let mut count: HashMap<Key, usize> = HashMap::new();
        for key in list.iter().flatten() {
            *count.entry(key.clone()).or_default() += 1;
        }
        let mut routes = Self { list, count, catch_all: None };
        routes.catch_all = routes.first_catch_all();
        routes
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Where the first of this kind stands.
    pub fn position(&self, key: &Key) -> Option<usize> {
        // Most of what is looked for is new.
        self.count.get(key)?;
        self.list.iter().position(|other| other.as_ref() == Some(key))
    }

    /// Where the first catch-all stands.
    pub fn catch_all(&self) -> Option<usize> {
        self.catch_all
    }

    pub fn insert(&mut self, index: usize, key: Option<Key>) {
        let is_catch_all = key.as_ref().is_some_and(Key::is_catch_all);
        if let Some(key) = &key {
            *self.count.entry(key.clone()).or_default() += 1;
        }
        self.list.insert(index, key);
        self.catch_all = match self.catch_all {
            Some(at) if at < index => Some(at),
            _ if is_catch_all => Some(index),
            later => later.map(|at| at + 1),
        };
    }

    pub fn remove(&mut self, index: usize) {
        if let Some(key) = self.list.remove(index)
            && let Some(count) = self.count.get_mut(&key)
        {
            *count -= 1;
            if *count == 0 {
                self.count.remove(&key);
            }
        }
        self.catch_all = match self.catch_all {
            Some(at) if at == index => self.first_catch_all(),
            Some(at) if at > index => Some(at - 1),
            before => before,
        };
    }

    fn first_catch_all(&self) -> Option<usize> {
        self.list.iter().position(|key| key.as_ref().is_some_and(Key::is_catch_all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Peer;

    /// What a plain look at the list says.
    fn looked_up(routes: &Routes, key: &Key) -> (Option<usize>, Option<usize>) {
        (routes.list.iter().position(|other| other.as_ref() == Some(key)), routes.first_catch_all())
    }

    #[test]
    fn what_is_kept_up_to_date_is_what_a_plain_look_says() {
        let room = |name: &str| Key::new("a", None, Peer::Room(name.into()));
        let any = Key::new("b", None, Peer::Any);
        let keys = [room("!1"), room("!2"), any.clone()];
        let mut routes = Routes::new(vec![Some(room("!1")), None, Some(any.clone()), Some(room("!1"))]);
        let mut random = 7_usize;
        for _ in 0..2_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (what, place) = ((random >> 33) % 5, (random >> 40) % (routes.len() + 1));
            match keys.get(what) {
                Some(key) => routes.insert(place, Some(key.clone())),
                None if place < routes.len() => routes.remove(place),
                None => routes.insert(place, None),
            }
            for key in &keys {
                assert_eq!((routes.position(key), routes.catch_all()), looked_up(&routes, key));
            }
        }
    }
}
