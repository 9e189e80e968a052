//! Documents to values. A pull parser finds the tags; here is only the grammar of XML-RPC.

use super::{Call, Fault, Limits, Value};
use base64::Engine as _;
use quick_xml::Reader;
use quick_xml::events::Event;
use std::borrow::Cow;

/// Why a document means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not text in UTF-8 (or in ISO-8859-1 where the document says so).
    #[error("the document is not text in the encoding that it names")]
    Encoding,
    /// Not XML.
    #[error("the document is not well-formed XML: {0}")]
    Xml(String),
    /// A document type or an entity of its own.
    #[error("the document has a DTD or entities of its own")]
    Dtd,
    /// XML, but not XML-RPC.
    #[error("the document is not XML-RPC: {0}")]
    Grammar(&'static str),
    /// More than the limits allow.
    #[error("the document is too large: {0}")]
    TooLarge(&'static str),
}

/// Reads a question.
///
/// # Errors
/// When it is no `methodCall` with a method's name, or larger than [`Limits::CALL`].
pub fn decode_call(document: &[u8]) -> Result<Call, DecodeError> {
    let text = text_of(document, Limits::CALL)?;
    let mut p = Parser::new(&text, Limits::CALL);
    p.root(Tag::MethodCall)?;
    let (mut method, mut params) = (None, Vec::new());
    while let Some(tag) = p.open()? {
        match tag {
            Tag::MethodName if method.is_none() => method = Some(p.text()?),
            Tag::Params => params = p.params()?,
            _ => return Err(DecodeError::Grammar("a call has a method's name and parameters")),
        }
    }
    p.end()?;
    let method = method.filter(|m| !m.is_empty());
    Ok(Call { method: method.ok_or(DecodeError::Grammar("no method name"))?, params })
}

/// Reads an answer.
///
/// # Errors
/// When it is no `methodResponse`, or larger than [`Limits::RESPONSE`].
pub fn decode_response(document: &[u8]) -> Result<Result<Value, Fault>, DecodeError> {
    let text = text_of(document, Limits::RESPONSE)?;
    let mut p = Parser::new(&text, Limits::RESPONSE);
    p.root(Tag::MethodResponse)?;
    let answer = match p.open()? {
        Some(Tag::Params) => {
            Ok(p.params()?.pop().ok_or(DecodeError::Grammar("an answer has one parameter"))?)
        }
        Some(Tag::Fault) => {
            p.expect(Tag::Value)?;
            let value = p.value(0)?;
            p.close()?;
            Err(fault(&value)?)
        }
        _ => return Err(DecodeError::Grammar("an answer has parameters or a fault")),
    };
    p.close()?;
    p.end()?;
    Ok(answer)
}

fn fault(value: &Value) -> Result<Fault, DecodeError> {
    let code = value.get("faultCode").and_then(Value::as_int).and_then(|n| i32::try_from(n).ok());
    let text = value.get("faultString").and_then(Value::as_str);
    match (code, text) {
        (Some(code), Some(text)) => Ok(Fault { code, text: text.to_owned() }),
        _ => Err(DecodeError::Grammar("a fault has a code and a string")),
    }
}

/// The document as text; without what XML does not allow anywhere.
fn text_of(document: &[u8], limits: Limits) -> Result<Cow<'_, str>, DecodeError> {
    if document.len() > limits.bytes {
        return Err(DecodeError::TooLarge("bytes"));
    }
    let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
    let is = |name: &str, of: &[&str]| of.iter().any(|o| o.eq_ignore_ascii_case(name));
    let text = match declared_encoding(document) {
        Some(name) if is(name, &["iso-8859-1", "latin-1", "latin1"]) => {
            Cow::Owned(document.iter().map(|b| char::from(*b)).collect())
        }
        Some(name) if !is(name, &["utf-8", "utf8", "us-ascii", "ascii"]) => {
            return Err(DecodeError::Encoding);
        }
        _ => Cow::Borrowed(std::str::from_utf8(document).map_err(|_| DecodeError::Encoding)?),
    };
    match text.chars().all(super::encode::is_xml) {
        true => Ok(text),
        false => Err(DecodeError::Xml("a character that XML does not have".into())),
    }
}

/// What `<?xml ... encoding="..."?>` says.
fn declared_encoding(document: &[u8]) -> Option<&str> {
    let head = document.strip_prefix(b"<?xml")?;
    let head = &head[..head.len().min(200)];
    let head = std::str::from_utf8(&head[..head.iter().position(|b| *b == b'>')?]).ok()?;
    let rest = head.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    rest[1..].split_once(quote).map(|(name, _)| name)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tag {
    MethodCall,
    MethodName,
    MethodResponse,
    Params,
    Param,
    Fault,
    Value,
    Int,
    Boolean,
    Str,
    Double,
    Base64,
    DateTime,
    Nil,
    Array,
    Data,
    Struct,
    Member,
    Name,
}

impl Tag {
    fn parse(name: &str) -> Option<Tag> {
        Some(match name {
            "methodCall" => Tag::MethodCall,
            "methodName" => Tag::MethodName,
            "methodResponse" => Tag::MethodResponse,
            "params" => Tag::Params,
            "param" => Tag::Param,
            "fault" => Tag::Fault,
            "value" => Tag::Value,
            "int" | "i4" | "i8" | "i1" | "i2" | "ex:i8" => Tag::Int,
            "boolean" => Tag::Boolean,
            "string" => Tag::Str,
            "double" | "float" => Tag::Double,
            "base64" => Tag::Base64,
            "dateTime.iso8601" => Tag::DateTime,
            "nil" | "ex:nil" => Tag::Nil,
            "array" => Tag::Array,
            "data" => Tag::Data,
            "struct" => Tag::Struct,
            "member" => Tag::Member,
            "name" => Tag::Name,
            _ => return None,
        })
    }
}

/// What the pull parser found, without what never matters.
enum Token<'a> {
    Open(Tag),
    Close,
    Text(Cow<'a, str>),
    Char(char),
    Eof,
}

struct Parser<'a> {
    reader: Reader<&'a [u8]>,
    values: usize,
    limits: Limits,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, limits: Limits) -> Parser<'a> {
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        reader.config_mut().check_comments = true;
        Parser { reader, values: 0, limits }
    }

    fn next(&mut self) -> Result<Token<'a>, DecodeError> {
        loop {
            let event = self.reader.read_event().map_err(|e| DecodeError::Xml(e.to_string()))?;
            return Ok(match event {
                Event::Start(e) | Event::Empty(e) => {
                    if let Some(Err(bad)) = e.attributes().find(Result::is_err) {
                        return Err(DecodeError::Xml(bad.to_string()));
                    }
                    let tag = Tag::parse(e.name().as_ref());
                    Token::Open(tag.ok_or(DecodeError::Grammar("an element of another kind"))?)
                }
                Event::End(_) => Token::Close,
                Event::Text(e) if e.contains("]]>") => {
                    return Err(DecodeError::Xml("`]]>` outside of CDATA".into()));
                }
                Event::Text(e) => Token::Text(e.xml10_content()),
                Event::CData(e) => Token::Text(e.xml10_content()),
                Event::GeneralRef(e) => {
                    let c = match e.resolve_char_ref().map_err(|e| DecodeError::Xml(e.to_string()))? {
                        Some(c) => c,
                        None => entity(&e)?,
                    };
                    if !super::encode::is_xml(c) {
                        return Err(DecodeError::Xml("a reference to a control character".into()));
                    }
                    Token::Char(c)
                }
                Event::DocType(_) => return Err(DecodeError::Dtd),
                Event::Decl(_) | Event::Comment(_) | Event::PI(_) => continue,
                Event::Eof => Token::Eof,
            });
        }
    }

    /// The next element's tag, or `None` at the end of the present one.
    fn open(&mut self) -> Result<Option<Tag>, DecodeError> {
        loop {
            match self.next()? {
                Token::Open(tag) => return Ok(Some(tag)),
                Token::Close => return Ok(None),
                Token::Text(text) if is_blank(&text) => {}
                Token::Text(_) | Token::Char(_) => return Err(DecodeError::Grammar("text between elements")),
                Token::Eof => return Err(DecodeError::Xml("it ends in the middle".into())),
            }
        }
    }

    fn expect(&mut self, tag: Tag) -> Result<(), DecodeError> {
        match self.open()? {
            Some(found) if found == tag => Ok(()),
            Some(_) | None => Err(DecodeError::Grammar("an element in the wrong place")),
        }
    }

    fn close(&mut self) -> Result<(), DecodeError> {
        match self.open()? {
            None => Ok(()),
            Some(_) => Err(DecodeError::Grammar("an element too many")),
        }
    }

    fn root(&mut self, tag: Tag) -> Result<(), DecodeError> {
        self.expect(tag)
    }

    /// Nothing follows the root.
    fn end(&mut self) -> Result<(), DecodeError> {
        loop {
            match self.next()? {
                Token::Eof => return Ok(()),
                Token::Text(text) if is_blank(&text) => {}
                Token::Text(_) | Token::Char(_) | Token::Open(_) | Token::Close => {
                    return Err(DecodeError::Xml("something follows the root".into()));
                }
            }
        }
    }

    /// The text up to the end of the present element.
    fn text(&mut self) -> Result<String, DecodeError> {
        let mut all = String::new();
        loop {
            match self.next()? {
                Token::Text(text) => all.push_str(&text),
                Token::Char(c) => all.push(c),
                Token::Close => {
                    all.shrink_to_fit();
                    return Ok(all);
                }
                Token::Open(_) => return Err(DecodeError::Grammar("an element inside of text")),
                Token::Eof => return Err(DecodeError::Xml("it ends in the middle".into())),
            }
        }
    }

    fn params(&mut self) -> Result<Vec<Value>, DecodeError> {
        let mut list = Vec::new();
        while let Some(tag) = self.open()? {
            if tag != Tag::Param {
                return Err(DecodeError::Grammar("parameters hold parameters only"));
            }
            self.expect(Tag::Value)?;
            list.push(self.value(0)?);
            self.close()?;
        }
        Ok(list)
    }

    /// What stands between `<value>` and its end. `depth` is bounded, so the recursion is.
    fn value(&mut self, depth: usize) -> Result<Value, DecodeError> {
        self.values += 1;
        if self.values > self.limits.values {
            return Err(DecodeError::TooLarge("values"));
        }
        if depth >= self.limits.depth {
            return Err(DecodeError::TooLarge("values inside of values"));
        }
        let mut untyped = String::new();
        loop {
            match self.next()? {
                Token::Text(text) => untyped.push_str(&text),
                Token::Char(c) => untyped.push(c),
                Token::Close => {
                    untyped.shrink_to_fit();
                    return Ok(Value::Str(untyped));
                }
                Token::Open(tag) if is_blank(&untyped) => {
                    drop(untyped);
                    let value = self.typed(tag, depth)?;
                    self.close()?;
                    return Ok(value);
                }
                Token::Open(_) => return Err(DecodeError::Grammar("a type after text")),
                Token::Eof => return Err(DecodeError::Xml("it ends in the middle".into())),
            }
        }
    }

    fn typed(&mut self, tag: Tag, depth: usize) -> Result<Value, DecodeError> {
        let bad = |what| move || DecodeError::Grammar(what);
        Ok(match tag {
            Tag::Int => Value::Int(self.text()?.trim().parse().ok().ok_or_else(bad("not an int"))?),
            Tag::Boolean => match self.text()?.trim() {
                "0" => Value::Bool(false),
                "1" => Value::Bool(true),
                _ => return Err(DecodeError::Grammar("not a boolean")),
            },
            Tag::Str => Value::Str(self.text()?),
            Tag::Double => Value::Double(self.text()?.trim().parse().ok().ok_or_else(bad("not a double"))?),
            Tag::Base64 => {
                let mut text = self.text()?.into_bytes();
                text.retain(|b| !b.is_ascii_whitespace());
                let bytes = base64::engine::general_purpose::STANDARD.decode(text);
                Value::Base64(bytes.ok().ok_or_else(bad("not base64"))?)
            }
            Tag::DateTime => Value::DateTime(self.text()?.trim().to_owned()),
            Tag::Nil => {
                self.close()?;
                Value::Nil
            }
            Tag::Array => self.array(depth)?,
            Tag::Struct => self.members(depth)?,
            Tag::MethodCall
            | Tag::MethodName
            | Tag::MethodResponse
            | Tag::Params
            | Tag::Param
            | Tag::Fault
            | Tag::Value
            | Tag::Data
            | Tag::Member
            | Tag::Name => return Err(DecodeError::Grammar("not a type")),
        })
    }

    fn array(&mut self, depth: usize) -> Result<Value, DecodeError> {
        let mut list = Vec::new();
        self.expect(Tag::Data)?;
        while let Some(tag) = self.open()? {
            if tag != Tag::Value {
                return Err(DecodeError::Grammar("an array holds values only"));
            }
            list.push(self.value(depth + 1)?);
        }
        self.close()?;
        list.shrink_to_fit();
        Ok(Value::Array(list))
    }

    fn members(&mut self, depth: usize) -> Result<Value, DecodeError> {
        let mut list = Vec::new();
        while let Some(tag) = self.open()? {
            if tag != Tag::Member {
                return Err(DecodeError::Grammar("a struct holds members only"));
            }
            self.expect(Tag::Name)?;
            let name = self.text()?;
            self.expect(Tag::Value)?;
            let value = self.value(depth + 1)?;
            self.close()?;
            list.push((name, value));
        }
        list.shrink_to_fit();
        Ok(Value::Struct(list))
    }
}

/// The five that need no declaration.
fn entity(name: &str) -> Result<char, DecodeError> {
    match name {
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "amp" => Ok('&'),
        "apos" => Ok('\''),
        "quot" => Ok('"'),
        _ => Err(DecodeError::Dtd),
    }
}

fn is_blank(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
}
