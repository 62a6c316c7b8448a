//! The layers of the source; see ARCHITECTURE.md.

use std::path::{Path, PathBuf};

use crate::imports::{circles, of_crate};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn short(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}

#[test]
fn no_file_leads_back_to_itself() {
    let mut all = Vec::new();
    for name in ["src", "providers/api/src", "providers/aws/src", "providers/simulator/src"] {
        let imports = of_crate(&root().join(name).join("lib.rs"));
        for circle in circles(&imports) {
            let inside = |file: &PathBuf| circle.contains(file);
            let mut told = format!("a circle of {} files:", circle.len());
            for (from, to) in &imports {
                for (to, names) in to.iter().filter(|(to, _)| inside(from) && inside(to)) {
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    let (from, to) = (short(from), short(to));
                    told.push_str(&format!("\n  {from} -> {to}: {}", names.join(", ")));
                }
            }
            all.push(told);
        }
    }
    assert!(all.is_empty(), "{} circles\n{}", all.len(), all.join("\n"));
}
