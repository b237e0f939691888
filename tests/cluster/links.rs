//! The links of a drill as its clients know them: the truth with which store and redirectors are compared.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock};

use rand::RngExt;
use rand::rngs::SmallRng;

/// Link that a client created or tried to create.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) code: String,
    state: Mutex<State>,
}

#[derive(Clone, Debug)]
struct State {
    /// Whether the creation was answered with 201.
    is_acknowledged: bool,
    /// Targets that the store may have: the last that was acknowledged, and those of changes without an answer.
    targets: Vec<String>,
}

/// All links of a drill.
#[derive(Debug, Default)]
pub(super) struct Links {
    by_code: RwLock<HashMap<String, Arc<Link>>>,
    /// Links whose creation was acknowledged, for clients to choose from.
    acknowledged: RwLock<Vec<Arc<Link>>>,
}

/// Differences between acknowledged changes and the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LostChanges {
    /// Number of acknowledged links that the store does not have.
    pub(super) links: usize,
    /// Number of links with a target that was never acknowledged last, nor without an answer.
    pub(super) targets: usize,
    /// Number of links that nobody tried to create.
    pub(super) unknown: usize,
}

impl Link {
    /// Returns whether `target` was at some time a target of this link.
    pub(super) fn has_led_to(&self, target: &str) -> bool {
        target
            .strip_prefix("https://")
            .and_then(|rest| rest.split_once(".example/"))
            .is_some_and(|(code, _)| code == self.code)
    }

    /// Returns the target with a number.
    pub(super) fn target(&self, number: usize) -> String {
        format!("https://{}.example/{number}", self.code)
    }

    /// Records a change that is about to be requested.
    pub(super) fn begin(&self, target: &str) {
        self.state.lock().unwrap().targets.push(target.to_owned());
    }

    /// Records that a change was acknowledged.
    pub(super) fn acknowledge(&self, target: &str) {
        *self.state.lock().unwrap() = State { is_acknowledged: true, targets: vec![target.to_owned()] };
    }

    /// Records that a change was refused without an effect.
    pub(super) fn withdraw(&self, target: &str) {
        self.state.lock().unwrap().targets.retain(|other| other != target);
    }
}

impl Links {
    /// Adds a link whose creation with its target of number 0 is about to be requested.
    pub(super) fn add(&self, code: String) -> Arc<Link> {
        let state = State { is_acknowledged: false, targets: Vec::new() };
        let link = Arc::new(Link { code: code.clone(), state: Mutex::new(state) });
        link.begin(&link.target(0));
        self.by_code.write().unwrap().insert(code, Arc::clone(&link));
        link
    }

    /// Lets clients choose a link, whose creation was acknowledged.
    pub(super) fn publish(&self, link: &Arc<Link>) {
        self.acknowledged.write().unwrap().push(Arc::clone(link));
    }

    /// Returns a link that was acknowledged, of the first `most` at most.
    pub(super) fn choose(&self, random: &mut SmallRng, most: usize) -> Option<Arc<Link>> {
        let links = self.acknowledged.read().unwrap();
        let number = links.len().min(most);
        (number > 0).then(|| Arc::clone(&links[random.random_range(0..number)]))
    }

    pub(super) fn len(&self) -> usize {
        self.acknowledged.read().unwrap().len()
    }

    /// Compares the links of the store, codes with targets, with what was acknowledged.
    pub(super) fn compare(&self, stored: &HashMap<String, String>) -> LostChanges {
        let mut lost = LostChanges::default();
        let links = self.by_code.read().unwrap();
        for (code, link) in links.iter() {
            let state = link.state.lock().unwrap();
            match stored.get(code) {
                Some(target) if !state.targets.contains(target) => {
                    println!("{code} leads to {target}, and {:?} would be right", state.targets);
                    lost.targets += 1;
                }
                None if state.is_acknowledged => {
                    println!("{code} is lost");
                    lost.links += 1;
                }
                _ => {}
            }
        }
        lost.unknown = stored.keys().filter(|code| !links.contains_key(*code)).count();
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_that_lacks_an_acknowledged_change_is_found() {
        let links = Links::default();
        let [kept, lost, tried, stale] = ["kept", "lost", "tried", "stale"].map(|code| links.add(code.to_owned()));
        for link in [&kept, &lost, &stale] {
            link.acknowledge(&link.target(0));
        }
        stale.begin(&stale.target(1));
        stale.acknowledge(&stale.target(1));
        kept.begin(&kept.target(1));
        let compare = |stored: &[(&str, String)]| {
            links.compare(&stored.iter().map(|(code, target)| ((*code).to_owned(), target.clone())).collect())
        };
        let found = compare(&[("kept", kept.target(1)), ("stale", stale.target(0)), ("foreign", String::new())]);
        assert_eq!(found, LostChanges { links: 1, targets: 1, unknown: 1 });
        let right = [("kept", kept.target(0)), ("stale", stale.target(1)), ("lost", lost.target(0))];
        assert_eq!(compare(&right), LostChanges::default());
        assert_eq!(compare(&[&right[..], &[("tried", tried.target(0))]].concat()), LostChanges::default());
    }

    #[test]
    fn target_of_another_link_is_found() {
        let links = Links::default();
        let [one, other] = ["one", "other"].map(|code| links.add(code.to_owned()));
        assert!(one.has_led_to(&one.target(7)));
        assert!(!one.has_led_to(&other.target(7)));
    }
}
