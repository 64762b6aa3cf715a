//! What the derives say of items they cannot expand. What they expand to is tested from outside, where it compiles.

use super::{module, tree};
use proc_macro2::TokenStream;
use syn::{DeriveInput, Result};

fn expand(make: fn(DeriveInput) -> Result<TokenStream>, item: &str) -> std::result::Result<String, String> {
    let input = syn::parse_str(item).expect("the item is Rust");
    make(input).map(|tokens| tokens.to_string()).map_err(|error| error.to_string())
}

#[test]
fn modules() {
    let refused = |item: &str| expand(module, item).unwrap_err();
    assert_eq!(refused("union U { a: f32 }"), "a union cannot be a module");
    assert_eq!(refused("struct S { #[module(ignore)] w: Param }"), "expected `skip`");
    assert!(expand(module, "struct S { #[module(skip)] notes: Notes }").is_ok());
    assert!(expand(module, "enum Never {}").is_ok_and(|text| text.contains("match * self { }")));
    // A kind stands on the type.
    let text = expand(module, "#[module(kind = \"lstm\")] struct S { w: Param }").expect("a module");
    assert!(text.contains("path . of_kind (\"lstm\" ,"), "{text}");
    assert_eq!(refused("#[module(skip)] struct S;"), "expected `kind = \"..\"`; `skip` belongs to a field");
    // Bounds only where a type parameter asks for one.
    let text = expand(module, "struct S<T> { a: Vec<T>, b: Private }").expect("a module");
    assert!(text.contains("Vec < T > : :: wengert :: autograd :: ParamTree"));
    assert!(!text.contains("Private :"));
}

#[test]
fn trees() {
    let refused = |item: &str| expand(tree, item).unwrap_err();
    assert_eq!(refused("enum E<'t> { A(Var<'t>) }"), "Tree is derived for structs");
    let lifetime = "a tree has one lifetime parameter, that of the tape";
    assert_eq!(refused("struct S { a: f32 }"), lifetime);
    assert_eq!(refused("struct S<'a, 'b> { a: Var<'a>, b: Var<'b> }"), lifetime);
    assert_eq!(refused("struct S<'t> { #[tree(skip, keep)] a: Var<'t> }"), "expected `skip`");
    assert!(expand(tree, "struct S<'t, T> { a: (Var<'t>, T), #[tree(skip)] n: usize }").is_ok());
}
