import JSONRPC

/// Words of the command line as the values that a method takes.
struct ValueReader {
    /// The id of the object that somebody calls so.
    let names: NameTable

    /// The value of a parameter.
    func value(_ text: String, of parameter: ParameterSchema) throws(Failure) -> JSONValue {
        do throws(Mistake) {
            return try value(text, parameter.kind, parameter.name)
        } catch {
            switch error {
            case .failure(let failure): throw failure
            case .text(let problem): throw .usage("\(parameter.name): \(problem)")
            }
        }
    }

    private enum Mistake: Error {
        case text(String)
        case failure(Failure)
    }

    private func value(_ text: String, _ kind: ValueKind, _ name: String) throws(Mistake) -> JSONValue {
        switch kind {
        case .bool: return .bool(try truth(text))
        case .unsigned(let range): return try number(text, range, name)
        case .number: return try fraction(text)
        case .text: return .string(Self.unquoted(text))
        case .choice(let words): return .string(try choice(Self.unquoted(text), words))
        case .bytes: return .string(Base64Text.encode(try bytes(text)))
        case .nameOrID: return text.allSatisfy { $0.isASCII && $0.isNumber } ? try json(text) : .string(text)
        case .list(let element): return try list(text, element, name)
        case .object(let members): return try object(text, members, separator: ",")
        case .any: return (try? JSONValue(parsing: text)) ?? .string(text)
        }
    }

    // MARK: Scalars

    private func truth(_ text: String) throws(Mistake) -> Bool {
        switch text.lowercased() {
        case "true", "yes", "on", "1": return true
        case "false", "no", "off", "0": return false
        default: throw .text("“\(text)” is neither yes nor no")
        }
    }

    private func number(_ text: String, _ range: ClosedRange<UInt64>, _ name: String) throws(Mistake) -> JSONValue {
        let text = Self.unquoted(text)
        guard let value = Amount.parse(text) else {
            guard range.upperBound == UInt64(UInt32.max) else {
                throw .text("“\(text)” is no number; write 4096, 0x1000, 64K or 2MiB")
            }
            do throws(Failure) { return try names.id(of: text, as: name) } catch { throw .failure(error) }
        }
        guard range.contains(value) else {
            throw .text("\(text) is not within \(range.lowerBound) and \(range.upperBound)")
        }
        return Int(exactly: value).map(JSONValue.integer) ?? .hex(value)
    }

    private func fraction(_ text: String) throws(Mistake) -> JSONValue {
        guard let value = Double(text) else { throw .text("“\(text)” is no number") }
        return .number(value)
    }

    private func choice(_ text: String, _ words: [String]) throws(Mistake) -> String {
        guard !words.contains(text) else { return text }
        throw .text(
            "“\(text)” is none of \(words.joined(separator: ", "))"
                + (Suggestion.text(for: text, among: words) ?? ""))
    }

    /// `@file`, `@-`, `text:…`, `hex:…`, or base64.
    private func bytes(_ text: String) throws(Mistake) -> [UInt8] {
        if text.hasPrefix("@") { return try contents(text) }
        if text.hasPrefix("text:") { return Array(text.dropFirst(5).utf8) }
        if text.hasPrefix("hex:") {
            guard let bytes = HexDump.bytes(text.dropFirst(4)) else { throw .text("“\(text)” has no pairs of digits") }
            return bytes
        }
        guard let bytes = Base64Text.decode(Self.unquoted(text)) else {
            throw .text("“\(text)” is not base64; write text:…, hex:…, or @file for what is in a file")
        }
        return bytes
    }

    private func contents(_ text: String) throws(Mistake) -> [UInt8] {
        do throws(Failure) { return try FileContents.named(String(text.dropFirst())) } catch { throw .failure(error) }
    }

    // MARK: Lists and objects

    private func list(_ text: String, _ element: ValueKind, _ name: String) throws(Mistake) -> JSONValue {
        if text.hasPrefix("@") {
            return try rows(String(decoding: try contents(text), as: UTF8.self), element, name)
        }
        if text.first == "[" { return try json(text) }
        if text.first == "{" { return .array([try json(text)]) }
        switch element {
        case .object(let members): return .array([try object(text, members, separator: ",")])
        case .list(let inner):
            var rows: [JSONValue] = []
            for part in Self.split(text, ",") { rows.append(try items(part, inner, name, ":")) }
            return .array(rows)
        default: return try items(text, element, name, ",")
        }
    }

    private func items(
        _ text: String, _ element: ValueKind, _ name: String, _ separator: Character
    ) throws(Mistake) -> JSONValue {
        var values: [JSONValue] = []
        for part in Self.split(text, separator) { values.append(try value(part, element, name)) }
        return .array(values)
    }

    /// A file: one JSON array, or a line for each element. Lines that begin with # say nothing.
    private func rows(_ text: String, _ element: ValueKind, _ name: String) throws(Mistake) -> JSONValue {
        if text.first(where: { !$0.isWhitespace }) == "[" { return try json(text) }
        var values: [JSONValue] = []
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let line = line.drop { $0 == " " || $0 == "\t" }
            guard let first = line.first, first != "#" else { continue }
            do throws(Mistake) {
                values.append(contentsOf: try list(String(line), element, name).arrayValue ?? [])
            } catch .text(let problem) {
                throw .text("line \(number + 1): \(problem)")
            } catch {
                throw error
            }
        }
        return .array(values)
    }

    /// `key=value,key=value`, in which lists are written with `+` between their elements.
    private func object(
        _ text: String, _ members: [ParameterSchema], separator: Character
    ) throws(Mistake) -> JSONValue {
        if text.first == "{" { return try json(text) }
        var found: [JSONValue.Member] = []
        for part in Self.split(text, separator) {
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard sides.count == 2 else { throw .text("“\(part)” is not key=value") }
            let key = sides[0].swapping("-", for: "_")
            guard let member = members.first(where: { $0.name == key }) else {
                throw .text(
                    "there is no “\(key)” in it" + (Suggestion.text(for: key, among: members.map(\.name)) ?? ""))
            }
            var kind = member.kind
            var value = String(sides[1])
            if case .list(let element) = kind, value.first != "[" {
                kind = .list(element)
                value = value.swapping("+", for: ",")
            }
            found.append(.init(key: key, value: try self.value(value, kind, key)))
        }
        return .object(found)
    }

    private func json(_ text: String) throws(Mistake) -> JSONValue {
        do throws(JSONSyntaxError) {
            return try JSONValue(parsing: text)
        } catch {
            throw .text("what is given is not JSON: \(error)")
        }
    }

    private static func split(_ text: String, _ separator: Character) -> [String] {
        text.split(separator: separator).map { String($0.drop { $0 == " " }) }
    }

    /// A JSON string as the text in it.
    private static func unquoted(_ text: String) -> String {
        guard text.count > 1, text.first == "\"" else { return text }
        return (try? JSONValue(parsing: text))?.stringValue ?? text
    }
}
