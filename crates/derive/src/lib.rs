//! `#[derive(Module)]` and `#[derive(Tree)]`.
//!
//! The generated code names the crate `::wengert`. A crate that depends on `wengert-nn` alone makes the name
//! available with `extern crate wengert_nn as wengert;`.
#![forbid(unsafe_code)]

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote};
use syn::{Attribute, Data, DeriveInput, Error, Field, Fields, GenericParam, Ident, LitStr, Result, Type};

/// Implements `ParamTree`: the parameters of a struct (or enum) are those of its fields, under the fields' names.
///
/// Every field is a parameter, a module, a `Vec`, `Option`, array or tuple of modules, or a plain value (a number, a
/// string, a flag), which holds no parameters. `#[module(skip)]` leaves a field out. `#[module(kind = "lstm")]` on the type says
/// what its fields are to formats that other frameworks read; the kinds are those of `wengert_nn::io`.
#[proc_macro_derive(Module, attributes(module))]
pub fn derive_module(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand(input, module)
}

/// Implements `Tree`: the leaves of a struct are those of its fields, under the fields' names.
///
/// The struct has one lifetime parameter, that of the tape. `#[tree(skip)]` carries a field along by `Clone`.
#[proc_macro_derive(Tree, attributes(tree))]
pub fn derive_tree(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand(input, tree)
}

fn expand(input: proc_macro::TokenStream, make: fn(DeriveInput) -> Result<TokenStream>) -> proc_macro::TokenStream {
    syn::parse(input).and_then(make).unwrap_or_else(Error::into_compile_error).into()
}

/// A field under the name by which its binding and its path are called.
struct Named<'f> {
    field: &'f Field,
    binding: Ident,
    /// `name: ` in a pattern or literal; nothing for tuple fields.
    label: TokenStream,
    path: TokenStream,
    skip: bool,
}

fn named<'f>(fields: &'f Fields, attribute: &str) -> Result<Vec<Named<'f>>> {
    fields
        .iter()
        .enumerate()
        .map(|(index, field)| {
            let skip = skipped(&field.attrs, attribute)?;
            let binding = format_ident!("field_{index}");
            Ok(match &field.ident {
                Some(name) => {
                    let text = name.to_string();
                    let text = text.strip_prefix("r#").unwrap_or(&text);
                    Named { field, binding, label: quote!(#name:), path: text.to_token_stream(), skip }
                }
                None => Named { field, binding, label: quote!(), path: index.to_token_stream(), skip },
            })
        })
        .collect()
}

/// Whether the attributes hold `#[attribute(skip)]`.
fn skipped(attributes: &[Attribute], attribute: &str) -> Result<bool> {
    let mut skip = false;
    for found in attributes.iter().filter(|a| a.path().is_ident(attribute)) {
        found.parse_nested_meta(|meta| {
            if meta.path.is_ident("skip") {
                skip = true;
                Ok(())
            } else {
                Err(meta.error("expected `skip`"))
            }
        })?;
    }
    Ok(skip)
}

/// What `#[module(kind = "..")]` of a type says.
fn kind(attributes: &[Attribute]) -> Result<Option<LitStr>> {
    let mut kind = None;
    for found in attributes.iter().filter(|a| a.path().is_ident("module")) {
        found.parse_nested_meta(|meta| {
            if meta.path.is_ident("kind") {
                kind = Some(meta.value()?.parse()?);
                Ok(())
            } else {
                Err(meta.error("expected `kind = \"..\"`; `skip` belongs to a field"))
            }
        })?;
    }
    Ok(kind)
}

/// `{ a: field_0, b: field_1 }` or `(field_0, field_1)`, as pattern or literal.
fn bindings(fields: &Fields, named: &[Named<'_>]) -> TokenStream {
    let each = named.iter().map(|n| {
        let (label, binding) = (&n.label, &n.binding);
        quote!(#label #binding)
    });
    match fields {
        Fields::Named(_) => quote!({ #(#each),* }),
        Fields::Unnamed(_) => quote!(( #(#each),* )),
        Fields::Unit => quote!(),
    }
}

fn module(input: DeriveInput) -> Result<TokenStream> {
    let variants: Vec<(TokenStream, &Fields)> = match &input.data {
        Data::Struct(data) => vec![(quote!(Self), &data.fields)],
        Data::Enum(data) => data
            .variants
            .iter()
            .map(|variant| {
                let name = &variant.ident;
                (quote!(Self::#name), &variant.fields)
            })
            .collect(),
        Data::Union(_) => return Err(Error::new_spanned(&input.ident, "a union cannot be a module")),
    };
    let mut arms = Vec::new();
    let mut bounds: Vec<&Type> = Vec::new();
    for (constructor, fields) in &variants {
        let named = named(fields, "module")?;
        let pattern = bindings(fields, &named);
        let visited = named.iter().filter(|n| !n.skip);
        let visits = visited.clone().map(|n| {
            let (binding, path) = (&n.binding, &n.path);
            quote!(path.within(#path, |path| ::wengert::autograd::ParamTree::visit_params(#binding, path, visit));)
        });
        let unused = named.iter().filter(|n| n.skip).map(|n| {
            let binding = &n.binding;
            quote!(let _ = #binding;)
        });
        arms.push(quote!(#constructor #pattern => { #(#unused)* #(#visits)* }));
        bounds.extend(visited.map(|n| &n.field.ty).filter(|ty| mentions_parameter(ty, &input)));
    }
    let name = &input.ident;
    let (generics, arguments, _) = input.generics.split_for_impl();
    let predicates = input.generics.where_clause.iter().flat_map(|clause| &clause.predicates);
    let body = if arms.is_empty() { quote!(match *self {}) } else { quote!(match self { #(#arms)* }) };
    let body = match kind(&input.attrs)? {
        Some(kind) => quote!(path.of_kind(#kind, |path| { let _ = &path; #body })),
        None => body,
    };
    Ok(quote! {
        #[automatically_derived]
        impl #generics ::wengert::autograd::ParamTree for #name #arguments
        where #(#predicates,)* #(#bounds: ::wengert::autograd::ParamTree,)*
        {
            fn visit_params(
                &self,
                path: &mut ::wengert::autograd::Path,
                visit: &mut dyn ::core::ops::FnMut(&::wengert::autograd::Path, &::wengert::autograd::Param),
            ) {
                let _ = (&path, &visit);
                #body
            }
        }
    })
}

/// Whether a type names one of the item's type parameters, so that a bound on it is needed (and allowed).
fn mentions_parameter(ty: &Type, input: &DeriveInput) -> bool {
    let names: Vec<String> = input
        .generics
        .params
        .iter()
        .filter_map(|p| match p {
            GenericParam::Type(ty) => Some(ty.ident.to_string()),
            _ => None,
        })
        .collect();
    fn search(tokens: TokenStream, names: &[String]) -> bool {
        tokens.into_iter().any(|token| match token {
            proc_macro2::TokenTree::Ident(ident) => names.contains(&ident.to_string()),
            proc_macro2::TokenTree::Group(group) => search(group.stream(), names),
            _ => false,
        })
    }
    search(ty.to_token_stream(), &names)
}

fn tree(input: DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "Tree is derived for structs"));
    };
    let mut lifetimes = input.generics.lifetimes();
    let (Some(tape), None) = (lifetimes.next(), lifetimes.next()) else {
        return Err(Error::new_spanned(&input.ident, "a tree has one lifetime parameter, that of the tape"));
    };
    let tape = &tape.lifetime;
    let named = named(&data.fields, "tree")?;
    let pattern = bindings(&data.fields, &named);
    let mapped = named.iter().map(|n| {
        let (binding, path) = (&n.binding, &n.path);
        if n.skip {
            quote!(let #binding = ::core::clone::Clone::clone(#binding);)
        } else {
            quote!(let #binding = path.within(#path, |path| ::wengert::autograd::Tree::map_vars(#binding, path, f));)
        }
    });
    let bounds = named.iter().filter(|n| !n.skip).map(|n| &n.field.ty).filter(|ty| mentions_parameter(ty, &input));
    let name = &input.ident;
    let (generics, arguments, _) = input.generics.split_for_impl();
    let predicates = input.generics.where_clause.iter().flat_map(|clause| &clause.predicates);
    Ok(quote! {
        #[automatically_derived]
        impl #generics ::wengert::autograd::Tree<#tape> for #name #arguments
        where #(#predicates,)* #(#bounds: ::wengert::autograd::Tree<#tape>,)*
        {
            fn map_vars(
                &self,
                path: &mut ::wengert::autograd::Path,
                f: &mut dyn ::core::ops::FnMut(
                    &::wengert::autograd::Path,
                    ::wengert::autograd::Var<#tape>,
                ) -> ::wengert::autograd::Var<#tape>,
            ) -> Self {
                let _ = (&path, &f);
                let Self #pattern = self;
                #(#mapped)*
                Self #pattern
            }
        }
    })
}

#[cfg(test)]
mod tests;
