//! How deep the tree of a query will be, seen from its tokens before anything is built.
//!
//! A chain `a + b + c` is a tree as deep as it is long, and trees are walked, evaluated and dropped by recursion. The bound
//! keeps every query within the stack of a compute thread.
//! Invariant: the tree is never deeper than what is returned here.

use datafusion::sql::sqlparser::tokenizer::Token;

/// Words that are operators.
const OPERATORS: [&str; 12] =
    ["AND", "OR", "NOT", "IS", "IN", "LIKE", "ILIKE", "RLIKE", "SIMILAR", "BETWEEN", "COLLATE", "AT"];
/// Words that chain whole queries or tables.
const CHAINS: [&str; 5] = ["UNION", "EXCEPT", "INTERSECT", "MINUS", "JOIN"];
/// Words behind which a new expression begins.
const BORDERS: [&str; 13] =
    ["SELECT", "FROM", "WHERE", "WHEN", "THEN", "ELSE", "ON", "GROUP", "HAVING", "ORDER", "LIMIT", "QUALIFY", "USING"];

/// What stands between one pair of parentheses.
#[derive(Default)]
struct Level {
    /// Operators of the expression that is open.
    operators: usize,
    /// The deepest pair of parentheses within it.
    within: usize,
    /// The deepest of the expressions before it.
    before: usize,
    /// Unions and joins.
    chained: usize,
}

impl Level {
    fn next_expression(&mut self) {
        self.before = self.before.max(self.operators + self.within);
        self.operators = 0;
        self.within = 0;
    }

    fn depth(mut self) -> usize {
        self.next_expression();
        self.before + self.chained + 1
    }
}

/// Returns a bound of the depth of a text's tree.
pub fn depth(tokens: impl Iterator<Item = Token>) -> usize {
    let mut levels = vec![Level::default()];
    for token in tokens {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => levels.push(Level::default()),
            Token::RParen | Token::RBracket | Token::RBrace => close(&mut levels),
            Token::Comma | Token::SemiColon => top(&mut levels).next_expression(),
            Token::Word(word) if word.quote_style.is_none() => match word.value.to_uppercase().as_str() {
                "CASE" => levels.push(Level::default()),
                "END" => close(&mut levels),
                word if OPERATORS.contains(&word) => top(&mut levels).operators += 1,
                word if CHAINS.contains(&word) => {
                    top(&mut levels).next_expression();
                    top(&mut levels).chained += 1;
                }
                word if BORDERS.contains(&word) => top(&mut levels).next_expression(),
                _ => {}
            },
            Token::Word(_) | Token::Number(_, _) | Token::Whitespace(_) | Token::Period | Token::EOF => {}
            Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) => {}
            _ => top(&mut levels).operators += 1,
        }
    }
    while levels.len() > 1 {
        close(&mut levels);
    }
    levels.pop().map_or(0, Level::depth)
}

fn top(levels: &mut Vec<Level>) -> &mut Level {
    if levels.is_empty() {
        levels.push(Level::default());
    }
    levels.last_mut().expect("a level was pushed where there was none")
}

fn close(levels: &mut Vec<Level>) {
    let depth = levels.pop().map_or(0, Level::depth);
    let outer = top(levels);
    // An index or a call is one more.
    outer.within = outer.within.max(depth);
    outer.operators += usize::from(depth > 0);
}
