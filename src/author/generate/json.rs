//! JSON, changed in one place.

use std::collections::BTreeSet;

use proptest::{
    collection::{btree_map, vec},
    prelude::any,
    strategy::{BoxedStrategy, Just, Strategy, ValueTree},
};
use serde_json::Value as Json;

use crate::author::{
    generate::dice::Dice,
    removal::{self, Path},
};

/// Characters of a text that is long for a setting.
const LONG: usize = 2000;

/// Changes JSON.
pub struct Mutator {
    words: Vec<String>,
    any: BoxedStrategy<Json>,
}

impl Mutator {
    /// One that knows these words.
    pub fn new(words: Vec<String>) -> Mutator {
        Mutator { any: any_json(words.clone()), words }
    }

    /// JSON of any kind.
    pub fn any(&mut self, dice: &mut Dice) -> Json {
        // A strategy fails only where a filter lets nothing through, and there is none.
        self.any.new_tree(&mut dice.runner).map_or(Json::Null, |tree| tree.current())
    }

    /// Changes one element of `value`, or the whole of it where there are none.
    pub fn change(&mut self, dice: &mut Dice, value: &mut Json) {
        let elements = removal::elements(value);
        let Some(path) = dice.pick(&elements).cloned() else {
            if dice.one_in(4) {
                *value = self.any(dice);
            }
            return;
        };
        match dice.below(10) {
            0 | 1 => *value = removal::without(value, &path),
            2 | 3 => double(dice, value, &path),
            4 => {
                let other = self.any(dice);
                if let Some(element) = removal::get_mut(value, &path) {
                    *element = other;
                }
            }
            _ => {
                let word = self.word(dice);
                if let Some(Json::String(text)) = removal::get_mut(value, &path) {
                    *text = word;
                }
            }
        }
    }

    fn word(&self, dice: &mut Dice) -> String {
        match dice.below(12) {
            0 => String::new(),
            1 => "*".to_owned(),
            2 => "long".repeat(LONG / "long".len()),
            3 => format!("fresh-{}", dice.below(3)),
            _ => dice.pick(&self.words).cloned().unwrap_or_default(),
        }
    }
}

/// Puts the element there twice, or a copy of it in place of its neighbour.
fn double(dice: &mut Dice, value: &mut Json, path: &Path) {
    let Some(element) = removal::get(value, path).cloned() else { return };
    match removal::parent_mut(value, path) {
        Some(Json::Array(items)) => {
            let place = dice.index(items.len() + 1);
            items.insert(place, element);
        }
        Some(Json::Object(entries)) => {
            let keys: Vec<String> = entries.keys().cloned().collect();
            if let Some(key) = dice.pick(&keys) {
                entries.insert(key.clone(), element);
            }
        }
        Some(_) | None => {}
    }
}

/// All texts in `value`, keys too.
pub fn words(value: &Json, words: &mut BTreeSet<String>) {
    match value {
        Json::String(text) => drop(words.insert(text.clone())),
        Json::Array(items) => items.iter().for_each(|item| self::words(item, words)),
        Json::Object(entries) => {
            for (name, entry) in entries {
                words.insert(name.clone());
                self::words(entry, words);
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

fn any_json(words: Vec<String>) -> BoxedStrategy<Json> {
    let word = if words.is_empty() { Just(String::new()).boxed() } else { proptest::sample::select(words).boxed() };
    let leaf = proptest::prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        any::<String>().prop_map(Json::from),
        word.clone().prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        proptest::prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Json::from),
            btree_map(word.clone(), inner, 0..6).prop_map(|entries| Json::Object(entries.into_iter().collect())),
        ]
    })
    .boxed()
}
