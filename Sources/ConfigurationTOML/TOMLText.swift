import TOMLKit

/// The text of a configuration file.
///
/// The one place that knows how TOML is read: whoever imports this module sees plain values, and the C++ of the parser
/// stays behind it.
package enum TOMLText {
    /// What the text says.
    package static func parse(_ text: String) throws(TOMLSyntaxError) -> ConfigurationTable {
        do {
            return table(try TOMLTable(string: text))
        } catch let error as TOMLParseError {
            let begin = error.source.begin
            throw TOMLSyntaxError(position: (begin.line, begin.column), problem: error.description)
        } catch {
            throw TOMLSyntaxError(position: nil, problem: "\(error)")
        }
    }

    private static func table(_ table: TOMLTable) -> ConfigurationTable {
        ConfigurationTable(
            Dictionary(
                table.keys.compactMap { key in table[key].map { (key, value($0.tomlValue)) } },
                uniquingKeysWith: { first, _ in first }))
    }

    /// As deep as the parser lets values be nested, 256 times.
    private static func value(_ value: TOMLValue) -> ConfigurationValue {
        if let nested = value.table { return .table(table(nested)) }
        if let array = value.array { return .array(array.map { self.value($0.tomlValue) }) }
        if let text = value.string { return .string(text) }
        if let flag = value.bool { return .boolean(flag) }
        if let number = value.int { return .integer(number) }
        if let number = value.double { return .floatingPoint(number) }
        return .moment
    }
}

/// Text that is no TOML.
package struct TOMLSyntaxError: Error {
    /// Line and column of the mistake, from 1; nil if the parser does not say.
    package let position: (line: Int, column: Int)?
    /// What is wrong, in the parser's words.
    package let problem: String
}
