/// What a configuration file says under one key.
package enum ConfigurationValue: Sendable, Equatable {
    /// Keys of their own: `[key]`, `{…}`, or one of `[[key]]`.
    case table(ConfigurationTable)
    /// `[…]`, or all of `[[key]]`.
    case array([ConfigurationValue])
    /// Text.
    case string(String)
    /// A signed 64-bit number.
    case integer(Int)
    /// A number with a fraction or an exponent.
    case floatingPoint(Double)
    /// `true` or `false`.
    case boolean(Bool)
    /// A date, a time, or both.
    case moment
}

/// Keys and what stands under them.
package struct ConfigurationTable: Sendable, Equatable {
    private let values: [String: ConfigurationValue]

    /// A table without keys.
    package init() { values = [:] }

    init(_ values: [String: ConfigurationValue]) { self.values = values }

    /// Every key, in alphabetical order.
    package var keys: [String] { values.keys.sorted() }

    /// What stands under a key; nil if it is not there.
    package subscript(key: String) -> ConfigurationValue? { values[key] }
}
