//! Does edits to a document, and undoes them.

use std::collections::BTreeMap;

use fraktalia_model::manifest::Dialect;
use serde_json::{Value as Json, json};

use crate::dialect::{
    AgentTable, Config, Entry, Key, bindings, detect, groups_key, own_enabled_key, table, usual_enabled_key,
};
use crate::document::{Document, Step};
use crate::error::FileError;
use crate::op::{Account, Known, enabled, field_of, same};
use crate::routes::Routes;
use crate::spec::Field;

/// An open document with what is known about it, kept up to date while it is edited.
pub(crate) struct Editor<'a, 'd> {
    pub document: &'d mut Document<'a>,
    /// The whole file as it was read.
    before: Json,
    agents: Option<&'static dyn AgentTable>,
    routes: Routes,
    /// The word for "this group is on" in a new group, by table.
    usual: BTreeMap<&'static str, &'static str>,
}

const BINDINGS: [Step<'static>; 1] = [Step::Key("bindings")];
const MATRIX: [Step<'static>; 2] = [Step::Key("channels"), Step::Key("matrix")];
const PROVIDERS: [Step<'static>; 2] = [Step::Key("secrets"), Step::Key("providers")];

impl<'a, 'd> Editor<'a, 'd> {
    /// `value` is what `document` means; `wish` is the dialect for a file that has none.
    pub fn new(document: &'d mut Document<'a>, value: Json, wish: Option<Dialect>) -> Self {
        let detected = detect(&value).dialect();
        let routes = bindings(&value).iter().map(|binding| Key::read(binding, detected)).collect();
        Self {
            document,
            before: value,
            agents: detected.or(wish).map(table),
            routes: Routes::new(routes),
            usual: BTreeMap::new(),
        }
    }

    /// Does one edit. What is as wanted already is not touched.
    pub fn apply(&mut self, edit: &Known) -> Result<(), FileError> {
        match edit {
            Known::PutAgent { id, fields } => self.put_agent(id, fields)?,
            Known::DropAgent { id } => self.drop_agent(id),
            Known::PutBinding(key) => self.put_binding(key, &key.json())?,
            Known::DropBinding(key) => self.drop_binding(key),
            Known::PutGroup { room, auto_reply } => self.put_group(room, *auto_reply)?,
            Known::DropGroup { room } => {
                let groups = groups_key(&self.before, room);
                self.document.remove(&below(&MATRIX, &[groups, room]));
            }
            Known::PutAccount { account } => self.put_account(account)?,
            Known::DropAccount { name } => self.drop_account(name),
        }
        Ok(())
    }

    fn put_agent(&mut self, id: &str, fields: &[Field]) -> Result<(), FileError> {
        let agents = self.agents.ok_or(FileError::NoDialect)?;
        let Some(path) = agents.locate(self.document, id) else {
            let entry = fields.iter().fold(Entry::new(), |mut entry, field| {
                place(&mut entry, &field.path, field.value.clone());
                entry
            });
            return Ok(agents.add(self.document, id, short_model(entry))?);
        };
        for field in fields {
            self.put_field(&path, field)?;
        }
        Ok(())
    }

    /// A model may be a string or an object; a string stays one as long as there is only a primary to say.
    fn put_field(&mut self, agent: &[Step<'_>], field: &Field) -> Result<(), FileError> {
        let keys: Vec<&str> = field.path.iter().map(String::as_str).collect();
        if self.document.get(&below(agent, &keys)).is_some_and(|now| same(&now, &field.value)) {
            return Ok(());
        }
        if let ["model", of_model] = keys[..] {
            let model = below(agent, &["model"]);
            let primary = self.document.text(&model).map(ToOwned::to_owned);
            match (of_model, primary) {
                ("primary", Some(_)) => return Ok(self.document.set(&model, &field.value)?),
                ("primary", None) if !self.document.has(&model) => {
                    return Ok(self.document.set(&model, &field.value)?);
                }
                ("fallbacks", Some(primary)) => {
                    let both = json!({"primary": primary, "fallbacks": field.value});
                    return Ok(self.document.set(&model, &both)?);
                }
                _ => {}
            }
        }
        Ok(self.document.set(&below(agent, &keys), &field.value)?)
    }

    fn drop_agent(&mut self, id: &str) {
        if let Some(path) = self.agents.and_then(|agents| agents.locate(self.document, id)) {
            self.document.remove(&path);
        }
    }

    /// Before the first catch-all of the channel; a catch-all itself goes to the end. One that stands too late moves.
    fn put_binding(&mut self, key: &Key, binding: &Json) -> Result<(), FileError> {
        let catch_all = self.routes.catch_all();
        let found = self.routes.position(key);
        let mut binding = binding.clone();
        match (found, catch_all) {
            (Some(_), _) if key.is_catch_all() => return Ok(()),
            (Some(_), None) => return Ok(()),
            (Some(at), Some(catch_all)) if at < catch_all => return Ok(()),
            (Some(at), _) => {
                // It takes with it what else it says: a comment of OpenClaw's own, for instance.
                binding = self.document.get(&at_binding(at)).unwrap_or(binding);
                self.remove_binding(at);
            }
            (None, _) => {}
        }
        let end = self.routes.len();
        let index = if key.is_catch_all() { end } else { catch_all.unwrap_or(end) };
        self.insert_binding(index, Some(key.clone()), &binding)
    }

    fn insert_binding(&mut self, index: usize, key: Option<Key>, binding: &Json) -> Result<(), FileError> {
        let index = index.min(self.routes.len());
        self.document.insert(&BINDINGS, index, binding)?;
        self.routes.insert(index, key);
        Ok(())
    }

    fn remove_binding(&mut self, at: usize) {
        self.document.remove(&at_binding(at));
        self.routes.remove(at);
    }

    /// All of them: the same binding written twice has no other meaning than once.
    fn drop_binding(&mut self, key: &Key) {
        while let Some(at) = self.routes.position(key) {
            self.remove_binding(at);
        }
    }

    fn put_group(&mut self, room: &str, auto_reply: Option<bool>) -> Result<(), FileError> {
        let table = groups_key(&self.before, room);
        let word = self.enabled_word(table, room);
        let path = below(&MATRIX, &[table, room]);
        let Some(group) = self.document.get(&path) else {
            let mut group = Entry::new();
            group.insert(word.into(), true.into());
            group.extend(auto_reply.map(|on| ("autoReply".to_owned(), on.into())));
            return Ok(self.document.set(&path, &Json::Object(group))?);
        };
        if !enabled(&group) {
            self.document.set(&below(&path, &[word]), &true.into())?;
        }
        if let Some(on) = auto_reply {
            self.document.set(&below(&path, &["autoReply"]), &on.into())?;
        }
        Ok(())
    }

    fn enabled_word(&mut self, table: &'static str, room: &str) -> &'static str {
        let own = own_enabled_key(&self.before, table, room);
        own.unwrap_or_else(|| {
            self.usual.entry(table).or_insert_with(|| usual_enabled_key(&self.before, table))
        })
    }

    fn put_account(&mut self, account: &Account) -> Result<(), FileError> {
        let path = below(&MATRIX, &["accounts", &account.name]);
        let token = Account::token_reference(&account.name);
        if self.document.has(&path) {
            self.document.set(&below(&path, &["userId"]), &account.user_id.0.as_str().into())?;
            self.document.set(&below(&path, &["homeserver"]), &account.homeserver.as_str().into())?;
            self.document.set(&below(&path, &["accessToken"]), &token)?;
        } else {
            let entry =
                json!({"userId": account.user_id.0, "homeserver": account.homeserver, "accessToken": token});
            self.document.set(&path, &entry)?;
        }
        let provider = Account::provider(&account.name);
        Ok(self.document.set(&below(&PROVIDERS, &[&provider]), &account.provider_entry())?)
    }

    fn drop_account(&mut self, name: &str) {
        self.document.remove(&below(&MATRIX, &["accounts", name]));
        self.document.remove(&below(&PROVIDERS, &[&Account::provider(name)]));
    }

    /// Takes back one edit, as far as the file still says what the edit made it say. `old` is the file before.
    pub fn take_back(&mut self, edit: &Known, before: &Config<'_>) -> Result<(), FileError> {
        match edit {
            Known::PutAgent { id, fields } => match before.agents.get(&id.to_ascii_lowercase()) {
                None => self.drop_agent(id),
                Some(entry) => self.restore_fields(id, fields, entry)?,
            },
            Known::DropAgent { id } => {
                if let Some(entry) = before.agents.get(&id.to_ascii_lowercase()) {
                    self.restore_agent(id, entry)?;
                }
            }
            Known::PutBinding(key) => match before.binding(key) {
                None => self.drop_binding(key),
                Some(_) if key.is_catch_all() => {}
                Some(at) => self.move_back(key, at)?,
            },
            Known::DropBinding(key) => {
                if let Some(at) = before.binding(key)
                    && self.routes.position(key).is_none()
                {
                    self.insert_binding(at, Some(key.clone()), &bindings(before.value)[at])?;
                }
            }
            Known::PutGroup { room, .. } | Known::DropGroup { room } => {
                let table = groups_key(&self.before, room);
                self.restore(&below(&MATRIX, &[table, room]), before.group(room))?;
            }
            Known::PutAccount { account: Account { name, .. } } | Known::DropAccount { name } => {
                let provider = Account::provider(name);
                self.restore(&below(&MATRIX, &["accounts", name]), before.account(name))?;
                let old = before.value["secrets"]["providers"].get(&provider);
                self.restore(&below(&PROVIDERS, &[&provider]), old)?;
            }
        }
        Ok(())
    }

    fn restore(&mut self, path: &[Step<'_>], old: Option<&Json>) -> Result<(), FileError> {
        match old {
            Some(old) => self.document.set(path, old)?,
            None => {
                self.document.remove(path);
            }
        }
        Ok(())
    }

    fn restore_agent(&mut self, id: &str, entry: &Entry) -> Result<(), FileError> {
        let agents = self.agents.ok_or(FileError::NoDialect)?;
        if agents.locate(self.document, id).is_none() {
            agents.add(self.document, id, entry.clone())?;
        }
        Ok(())
    }

    /// Fields that somebody else has changed since are left to them.
    fn restore_fields(&mut self, id: &str, fields: &[Field], old: &Entry) -> Result<(), FileError> {
        let Some(path) = self.agents.and_then(|agents| agents.locate(self.document, id)) else {
            return Ok(());
        };
        for field in fields {
            let now = self.document.get(&path).unwrap_or_default();
            let now = now.as_object().and_then(|entry| field_of(entry, &field.path).cloned());
            if !now.is_some_and(|now| same(&now, &field.value)) {
                continue;
            }
            // The shape of a model is put back as a whole.
            let keys: Vec<&str> = match field.path[0].as_str() {
                "model" => vec!["model"],
                _ => field.path.iter().map(String::as_str).collect(),
            };
            let owned: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
            // Where the field's parents were missing, they go as well.
            let depth =
                (1..keys.len()).find(|depth| field_of(old, &owned[..*depth]).is_none()).unwrap_or(keys.len());
            self.restore(&below(&path, &keys[..depth]), field_of(old, &owned[..depth]))?;
        }
        Ok(())
    }

    fn move_back(&mut self, key: &Key, to: usize) -> Result<(), FileError> {
        let Some(at) = self.routes.position(key) else { return Ok(()) };
        if at < to && to < self.routes.len() {
            let binding = self.document.get(&at_binding(at)).unwrap_or_else(|| key.json());
            self.remove_binding(at);
            self.insert_binding(to, Some(key.clone()), &binding)?;
        }
        Ok(())
    }
}

fn at_binding(index: usize) -> [Step<'static>; 2] {
    [BINDINGS[0], Step::At(index)]
}

fn below<'p>(path: &[Step<'p>], keys: &[&'p str]) -> Vec<Step<'p>> {
    path.iter().copied().chain(keys.iter().copied().map(Step::Key)).collect()
}

/// Puts `value` at `path` inside `entry`.
fn place(entry: &mut Entry, path: &[String], value: Json) {
    match path {
        [] => {}
        [last] => {
            entry.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            let inner = entry.entry(first.clone()).or_insert_with(|| json!({}));
            if !inner.is_object() {
                *inner = json!({});
            }
            if let Json::Object(inner) = inner {
                place(inner, rest, value);
            }
        }
    }
}

/// A model without fallbacks is written as a string, as people do.
fn short_model(mut entry: Entry) -> Entry {
    let short = match entry.get("model") {
        Some(Json::Object(model)) if model.len() == 1 => model.get("primary").cloned(),
        _ => None,
    };
    entry.extend(short.map(|primary| ("model".to_owned(), primary)));
    entry
}
