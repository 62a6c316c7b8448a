//! The layers of the source; see ARCHITECTURE.md.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use syn::visit::Visit;

use crate::imports::{Imports, circles, of_crate};

/// The folders with the source of each crate.
fn crates() -> Vec<String> {
    let providers = std::fs::read_dir(root().join("providers")).expect("the providers");
    let folders = providers.map(|entry| entry.expect("a folder").file_name());
    let each = folders.map(|name| format!("providers/{}/src", name.to_string_lossy()));
    std::iter::once("src".to_owned()).chain(each).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn short(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}

/// Returns each circle of files, with the names that make it one.
fn described_circles(imports: &Imports) -> Vec<String> {
    let tell = |circle: Vec<PathBuf>| {
        let inside = |file: &PathBuf| circle.contains(file);
        let mut text = format!("a circle of {} files:", circle.len());
        for (from, to) in imports {
            for (to, names) in to.iter().filter(|(to, _)| inside(from) && inside(to)) {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                text.push_str(&format!(
                    "\n  {} -> {}: {}",
                    short(from),
                    short(to),
                    names.join(", ")
                ));
            }
        }
        text
    };
    circles(imports).into_iter().map(tell).collect()
}

#[test]
#[expect(clippy::print_stdout, reason = "the figure is what is asked for")]
fn no_files_use_each_other_in_a_circle() {
    let all = crates();
    assert!(all.len() > 4, "{all:?}");
    let found: Vec<Vec<String>> = all
        .iter()
        .map(|name| described_circles(&of_crate(&root().join(name).join("lib.rs"))))
        .collect();
    let found = found.concat();
    println!("{} circles", found.len());
    assert!(found.is_empty(), "{} circles\n{}", found.len(), found.join("\n"));
}

/// Returns the modules below `src`, by their line in ARCHITECTURE.md: 0 is the top.
fn drawn() -> BTreeMap<String, usize> {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let (_, drawing) = text.split_once("```layers\n").expect("the layers");
    let (drawing, _) = drawing.split_once("```").expect("its end");
    let lines = drawing.lines().enumerate();
    let modules = lines.flat_map(|(line, text)| {
        let modules = text.split("  ").next().unwrap_or_default().split(", ");
        modules.map(move |module| (module.trim().to_owned(), line)).collect::<Vec<_>>()
    });
    modules.filter(|(module, _)| !module.is_empty()).collect()
}

#[test]
fn each_module_uses_only_those_that_are_drawn_below_it() {
    let (drawn, source) = (drawn(), root().join("src"));
    let module = |file: &Path| {
        let below = file.strip_prefix(&source).expect("a source file");
        let first = below.components().next().expect("a name").as_os_str().to_string_lossy();
        first.trim_end_matches(".rs").to_owned()
    };
    let mut found = Vec::new();
    for (from, to) in of_crate(&source.join("lib.rs")) {
        for (to, names) in to {
            let (above, below) = (module(&from), module(&to));
            if above == below || above == "lib" {
                continue;
            }
            let line = |module: &String| {
                *drawn.get(module).unwrap_or_else(|| panic!("{module} is not drawn"))
            };
            if line(&above) >= line(&below) {
                found.push(format!("{} -> {}: {names:?}", short(&from), short(&to)));
            }
        }
    }
    assert!(found.is_empty(), "not below it:\n{}", found.join("\n"));
}

/// Functions that are tables, with a row for each of many cases.
const TABLES: [&str; 1] = ["describe"];
/// The most lines that a function may have.
const LONGEST: usize = 60;

/// Returns the name and the number of lines of each function of a file, without its tests.
fn functions(text: &str) -> Vec<(String, usize)> {
    #[derive(Default)]
    struct Found(Vec<(String, usize)>);
    impl Found {
        fn note(&mut self, signature: &syn::Signature, block: &syn::Block) {
            let lines = block.brace_token.span.close().end().line;
            self.0.push((
                signature.ident.to_string(),
                lines + 1 - signature.fn_token.span.start().line,
            ));
        }
    }
    impl<'ast> Visit<'ast> for Found {
        fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
            self.note(&item.sig, &item.block);
            syn::visit::visit_item_fn(self, item);
        }
        fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
            self.note(&item.sig, &item.block);
            syn::visit::visit_impl_item_fn(self, item);
        }
        fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
            if item.ident != "tests" {
                syn::visit::visit_item_mod(self, item);
            }
        }
    }
    let mut found = Found::default();
    found.visit_file(&syn::parse_file(text).expect("Rust"));
    found.0
}

#[test]
fn no_function_is_longer_than_a_page() {
    let mut long = Vec::new();
    for name in crates() {
        for file in of_crate(&root().join(name).join("lib.rs")).keys() {
            let text = std::fs::read_to_string(file).expect("a source file");
            for (name, lines) in functions(&text) {
                if lines > LONGEST && !TABLES.contains(&name.as_str()) {
                    long.push(format!("{}: {name} has {lines} lines", short(file)));
                }
            }
        }
    }
    assert!(long.is_empty(), "at most {LONGEST} lines:\n{}", long.join("\n"));
}

/// Each way in which a file can name something of another file that uses it.
#[test]
fn every_kind_of_path_is_seen() {
    for way in [
        "use crate::upper::Thing;",
        "use crate::{upper::Thing as Other};",
        "use crate::upper::*;",
        "use super::upper::Thing;",
        "use crate::face::Thing;",
        "pub use crate::upper::Thing;",
        "fn inline() { crate::upper::act() }",
        "fn inline() -> super::upper::Thing { todo() }",
        "fn within() { println!(\"{}\", crate::upper::act()) }",
        "mod inner { use super::super::upper::Thing; }",
        "impl crate::upper::Act for u8 {}",
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("a file");
        };
        write("lib.rs", "mod face;\nmod lower;\nmod upper;\n");
        write("face.rs", "pub use crate::upper::{Thing, act};\n");
        write("upper.rs", "use crate::lower::Low;\npub struct Thing;\npub fn act() {}\n");
        write("lower.rs", &format!("pub struct Low;\n{way}\n"));
        let found = circles(&of_crate(&folder.path().join("lib.rs")));
        assert_eq!(found.len(), 1, "{way}: {found:?}");
        write("lower.rs", &format!("pub struct Low;\n#[cfg(test)]\nmod tests {{\n{way}\n}}\n"));
        let found = circles(&of_crate(&folder.path().join("lib.rs")));
        assert!(found.is_empty(), "a test may use any layer: {way}: {found:?}");
    }
}
