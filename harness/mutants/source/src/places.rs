//! The places of a file at which a mutant can be: functions, operators, arms of `match`, guards and
//! fields, with their bytes.

use std::ops::Range;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// A function with a body.
pub(crate) struct Function {
    pub(crate) body: Range<usize>,
    pub(crate) constness: Option<Range<usize>>,
}

/// An expression with an operator.
pub(crate) struct Operation {
    pub(crate) operator: Range<usize>,
    pub(crate) whole: Range<usize>,
    /// Whether it is a part of a chain with `let`, which cannot be put into parentheses.
    pub(crate) has_let: bool,
}

/// An arm of a `match`.
pub(crate) struct Arm {
    pub(crate) whole: Range<usize>,
    pub(crate) pattern_end: usize,
    pub(crate) guard: Option<Range<usize>>,
}

/// A field of a struct expression with a base.
pub(crate) struct Field {
    pub(crate) whole: Range<usize>,
    pub(crate) name: Range<usize>,
    pub(crate) value: Range<usize>,
    pub(crate) base: Range<usize>,
}

#[derive(Default)]
pub(crate) struct Places {
    pub(crate) functions: Vec<Function>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) arms: Vec<Arm>,
    pub(crate) fields: Vec<Field>,
}

impl Places {
    pub(crate) fn of(source: &str) -> syn::Result<Self> {
        let mut places = Self::default();
        places.visit_file(&syn::parse_file(source)?);
        Ok(places)
    }

    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let constness = signature.constness.map(|token| bytes(&token));
        self.functions.push(Function { body: bytes(block), constness });
    }
}

fn bytes(node: &impl Spanned) -> Range<usize> {
    node.span().byte_range()
}

fn has_let(expression: &syn::Expr) -> bool {
    match expression {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

impl Visit<'_> for Places {
    fn visit_item_fn(&mut self, node: &syn::ItemFn) {
        self.function(&node.sig, &node.block);
        visit::visit_item_fn(self, node);
    }

    fn visit_impl_item_fn(&mut self, node: &syn::ImplItemFn) {
        self.function(&node.sig, &node.block);
        visit::visit_impl_item_fn(self, node);
    }

    fn visit_trait_item_fn(&mut self, node: &syn::TraitItemFn) {
        if let Some(block) = &node.default {
            self.function(&node.sig, block);
        }
        visit::visit_trait_item_fn(self, node);
    }

    fn visit_expr_binary(&mut self, node: &syn::ExprBinary) {
        self.operations.push(Operation {
            operator: bytes(&node.op),
            whole: bytes(node),
            has_let: has_let(&node.left) || has_let(&node.right),
        });
        visit::visit_expr_binary(self, node);
    }

    fn visit_expr_unary(&mut self, node: &syn::ExprUnary) {
        self.operations.push(Operation { operator: bytes(&node.op), whole: bytes(node), has_let: false });
        visit::visit_expr_unary(self, node);
    }

    fn visit_arm(&mut self, node: &syn::Arm) {
        self.arms.push(Arm {
            whole: bytes(node),
            pattern_end: bytes(&node.pat).end,
            guard: node.guard.as_ref().map(|(_, guard)| bytes(guard)),
        });
        visit::visit_arm(self, node);
    }

    fn visit_expr_struct(&mut self, node: &syn::ExprStruct) {
        if let Some(base) = &node.rest {
            for field in &node.fields {
                self.fields.push(Field {
                    whole: bytes(field),
                    name: bytes(&field.member),
                    value: bytes(&field.expr),
                    base: bytes(base),
                });
            }
        }
        visit::visit_expr_struct(self, node);
    }
}
