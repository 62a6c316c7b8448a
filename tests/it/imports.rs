//! Which source file of a crate uses what of which other one, by its `use` items and its paths;
//! `pub use` is resolved.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// The path of a module below the crate: `["plan", "gate"]`.
type Module = Vec<String>;

/// A name that a module re-exports with `pub use`, and its path.
#[derive(Clone)]
struct HandedOn {
    name: String,
    path: Vec<String>,
}

struct Source {
    file: PathBuf,
    children: BTreeSet<String>,
    hands_on: Vec<HandedOn>,
    /// Each path that the file names, from the root of the crate.
    names: Vec<Vec<String>>,
}

/// Which file uses which names of which file.
pub type Imports = BTreeMap<PathBuf, BTreeMap<PathBuf, BTreeSet<String>>>;

/// Returns the imports of the crate whose root is `root` (a `lib.rs`), by files. Test modules are
/// left out.
pub fn of_crate(root: &Path) -> Imports {
    let mut sources = BTreeMap::new();
    let folder = root.parent().expect("a folder").to_owned();
    read(&mut sources, root.to_owned(), &folder, Vec::new());
    let mut imports = Imports::new();
    for source in sources.values() {
        let own = imports.entry(source.file.clone()).or_default();
        for path in &source.names {
            let Some((file, name)) = defined_in(&sources, path, 0) else { continue };
            if *file != source.file {
                own.entry(file.clone()).or_default().insert(name);
            }
        }
    }
    imports
}

/// Returns the groups of files that use each other, each sorted; none without circles.
pub fn circles(imports: &Imports) -> Vec<Vec<PathBuf>> {
    let reached: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> =
        imports.keys().map(|file| (file, reachable(imports, file))).collect();
    let mut found = BTreeSet::new();
    for (file, of_file) in &reached {
        let circle = of_file
            .iter()
            .filter(|other| reached.get(*other).is_some_and(|back| back.contains(*file)));
        let circle: BTreeSet<PathBuf> = circle.map(|other| (*other).clone()).collect();
        if !circle.is_empty() {
            found.insert(circle.into_iter().collect::<Vec<_>>());
        }
    }
    found.into_iter().collect()
}

fn reachable<'i>(imports: &'i Imports, from: &PathBuf) -> BTreeSet<&'i PathBuf> {
    let (mut seen, mut ahead) = (BTreeSet::new(), vec![from]);
    while let Some(file) = ahead.pop() {
        for next in imports.get(file).into_iter().flat_map(BTreeMap::keys) {
            if seen.insert(next) {
                ahead.push(next);
            }
        }
    }
    seen
}

fn read(sources: &mut BTreeMap<Module, Source>, file: PathBuf, below: &Path, module: Module) {
    let text = std::fs::read_to_string(&file).unwrap_or_else(|why| panic!("{file:?}: {why}"));
    let parsed = syn::parse_file(&text).unwrap_or_else(|why| panic!("{file:?}: {why}"));
    let declared = parsed.items.iter().filter_map(|item| match item {
        syn::Item::Mod(item) if item.content.is_none() => Some(item),
        _ => None,
    });
    let declared = declared.filter(|item| !is_test(&item.attrs));
    let children: BTreeSet<String> = declared.map(|item| item.ident.to_string()).collect();
    let mut reader =
        Reader { module: module.clone(), children: children.clone(), ..Reader::default() };
    reader.visit_file(&parsed);
    for child in &children {
        let flat = below.join(format!("{child}.rs"));
        let nested = below.join(child).join("mod.rs");
        let path = if flat.exists() { flat } else { nested };
        let place = [&module[..], std::slice::from_ref(child)].concat();
        read(sources, path, &below.join(child), place);
    }
    let Reader { names, hands_on, .. } = reader;
    sources.insert(module, Source { file, children, hands_on, names });
}

/// Returns the file that defines what `path` names, and its name there.
fn defined_in<'s>(
    sources: &'s BTreeMap<Module, Source>,
    path: &[String],
    depth: usize,
) -> Option<(&'s PathBuf, String)> {
    let mut module = Module::new();
    let mut remaining = path.iter();
    while let Some(segment) = remaining.next() {
        let source = sources.get(&module)?;
        if source.children.contains(segment) {
            module.push(segment.clone());
            continue;
        }
        let tail: Vec<String> = remaining.cloned().collect();
        let handed = source.hands_on.iter().find(|handed| handed.name == *segment);
        let all = source.hands_on.iter().filter(|handed| handed.name == "*");
        let through: Vec<Vec<String>> = match handed {
            Some(handed) => vec![[&handed.path[..], &tail[..]].concat()],
            None => all
                .map(|handed| [&handed.path[..], std::slice::from_ref(segment), &tail[..]].concat())
                .collect(),
        };
        // A re-exported name is defined elsewhere; if that is outside the crate, nowhere.
        if handed.is_some() && depth < 8 {
            return through.iter().find_map(|path| defined_in(sources, path, depth + 1));
        }
        return Some((&source.file, segment.clone()));
    }
    let source = sources.get(&module)?;
    Some((&source.file, module.last().cloned().unwrap_or_default()))
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) if list.path.is_ident("cfg") => list.tokens.to_string() == "test",
        _ => false,
    })
}

#[derive(Default)]
struct Reader {
    module: Module,
    children: BTreeSet<String>,
    /// How many inline modules are around this place.
    inline: usize,
    names: Vec<Vec<String>>,
    hands_on: Vec<HandedOn>,
}

impl Reader {
    /// Returns `path` from the root of the crate; `None` if it leads elsewhere.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let mut place = self.module.clone();
        let mut remaining = path;
        let mut inline = self.inline;
        match path.first().map(String::as_str) {
            Some("crate") => {
                place.clear();
                remaining = &path[1..];
            }
            Some("self") => remaining = &path[1..],
            Some("super") => {
                while remaining.first().is_some_and(|segment| segment == "super") {
                    remaining = &remaining[1..];
                    match inline {
                        0 => drop(place.pop()),
                        _ => inline -= 1,
                    }
                }
            }
            Some(first) if self.children.contains(first) => {}
            _ => return None,
        }
        place.extend(remaining.iter().cloned());
        Some(place)
    }

    fn take(&mut self, path: &[String]) {
        let found = self.absolute(path);
        self.names.extend(found.filter(|found| !found.is_empty()));
    }

    fn take_tree(&mut self, before: &[String], tree: &syn::UseTree, is_public: bool) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        let (path, name) = match tree {
            syn::UseTree::Path(path) => {
                return self.take_tree(&with(&path.ident), &path.tree, is_public);
            }
            syn::UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.take_tree(before, tree, is_public));
            }
            syn::UseTree::Name(name) if name.ident == "self" => {
                (before.to_vec(), before.last().cloned().unwrap_or_default())
            }
            syn::UseTree::Name(name) => (with(&name.ident), name.ident.to_string()),
            syn::UseTree::Rename(rename) if rename.ident == "self" => {
                (before.to_vec(), rename.rename.to_string())
            }
            syn::UseTree::Rename(rename) => (with(&rename.ident), rename.rename.to_string()),
            syn::UseTree::Glob(_) => (before.to_vec(), "*".to_owned()),
        };
        self.take(&path);
        if is_public && let Some(path) = self.absolute(&path) {
            self.hands_on.push(HandedOn { name, path });
        }
    }

    /// Takes the paths in a macro's input: only the macro knows how to parse it.
    fn take_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.take_long(&path);
                        path.clear();
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                other => {
                    self.take_long(&path);
                    path.clear();
                    colons = 0;
                    if let TokenTree::Group(group) = other
                        && group.delimiter() != Delimiter::None
                    {
                        self.take_tokens(group.stream());
                    }
                }
            }
        }
        self.take_long(&path);
    }

    fn take_long(&mut self, path: &[String]) {
        if path.len() > 1 {
            self.take(path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes: &[syn::Attribute] = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            _ => &[],
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.inline += 1;
        visit::visit_item_mod(self, item);
        self.inline -= 1;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let is_public = !matches!(item.vis, syn::Visibility::Inherited);
        self.take_tree(&[], &item.tree, is_public);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.take_long(&segments);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, found: &'ast syn::Macro) {
        self.take_tokens(found.tokens.clone());
        visit::visit_macro(self, found);
    }
}
