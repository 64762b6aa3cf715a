//! The revision of the program's source, as Git's files have it: nothing is started for it.

use std::fs;
use std::path::{Path, PathBuf};

/// The commit that is checked out in a folder or one above it. Whether files have changed since is not looked at.
pub(super) fn revision(folder: &Path) -> Option<String> {
    let found = folder.ancestors().map(|folder| folder.join(".git")).find(|path| path.exists())?;
    let git = match found.is_dir() {
        true => found,
        // A working tree beside the main one: the file says where.
        false => found.parent()?.join(text(&found)?.strip_prefix("gitdir:")?.trim()),
    };
    let head = text(&git.join("HEAD"))?;
    let Some(name) = head.strip_prefix("ref:").map(str::trim) else { return hash(&head) };
    // Branches are shared by all working trees.
    let common = text(&git.join("commondir")).map_or(git.clone(), |path| git.join(path));
    let loose = [&git, &common].into_iter().find_map(|folder: &PathBuf| hash(&text(&folder.join(name))?));
    loose.or_else(|| {
        let packed = text(&common.join("packed-refs"))?;
        packed.lines().find_map(|line| hash(line.strip_suffix(name)?.strip_suffix(' ')?))
    })
}

fn text(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_string())
}

/// A text that is a hash, SHA-1 or SHA-256.
fn hash(text: &str) -> Option<String> {
    let is = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is.then(|| text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_found_wherever_git_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let (main, tree) = (folder.path().join("main"), folder.path().join("tree"));
        let inner = main.join("src/deep");
        let git = main.join(".git");
        for path in [&inner, &git.join("refs/heads/topic"), &git.join("worktrees/tree"), &tree] {
            fs::create_dir_all(path).unwrap();
        }
        let write = |path: PathBuf, text: &str| fs::write(path, text).unwrap();
        let all = ["1", "2", "3", "4"].map(|digit| digit.repeat(40));
        write(git.join("HEAD"), "ref: refs/heads/topic/a\n");
        // Not committed yet.
        assert_eq!(revision(&inner), None);
        let packed =
            format!("# pack-refs with: peeled\n{} refs/heads/topic/a\n{} refs/heads/a\n^{}\n", all[0], all[1], all[2]);
        write(git.join("packed-refs"), &packed);
        assert_eq!(revision(&inner).as_ref(), Some(&all[0]));
        // The loose one is newer.
        write(git.join("refs/heads/topic/a"), &format!("{}\n", all[3]));
        assert_eq!(revision(&main).as_ref(), Some(&all[3]));
        write(git.join("HEAD"), &format!("{}\n", all[2]));
        assert_eq!(revision(&main).as_ref(), Some(&all[2]));
        // A second working tree.
        write(tree.join(".git"), "gitdir: ../main/.git/worktrees/tree\n");
        write(git.join("worktrees/tree/HEAD"), "ref: refs/heads/topic/a\n");
        write(git.join("worktrees/tree/commondir"), "../..\n");
        assert_eq!(revision(&tree).as_ref(), Some(&all[3]));
        fs::remove_file(git.join("refs/heads/topic/a")).unwrap();
        assert_eq!(revision(&tree).as_ref(), Some(&all[0]));
        // What is no repository has none.
        write(tree.join(".git"), "nonsense");
        assert_eq!(revision(&tree), None);
    }
}
