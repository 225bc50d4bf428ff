import ConfigurationTOML
import IOMMU
import LinuxIO

/// One table of the file while it is read: each key is asked for once, and what nobody asked for is a mistake. A value
/// that cannot be used is noted and reads as if it were not there.
struct ConfigurationSection {
    let file: String
    /// Where the table is: `limits`, `device[3]`, empty for the whole file.
    let path: String
    private let table: ConfigurationTable
    private var known: [String] = []
    private let mistakes: ConfigurationMistakes

    init(file: String, path: String, table: ConfigurationTable, mistakes: ConfigurationMistakes) {
        self.file = file
        self.path = path
        self.table = table
        self.mistakes = mistakes
    }

    func keyPath(_ key: String) -> String {
        path.isEmpty ? key : path + "." + key
    }

    func note(_ key: String, _ problem: String, remedy: String) {
        mistakes.note(ConfigurationError(file: file, .key(keyPath(key)), problem, remedy: remedy))
    }

    /// Notes keys that nobody asked for.
    func finish() {
        for key in table.keys where !known.contains(key) {
            let close = known.min { Self.distance($0, key) < Self.distance($1, key) }
            let remedy =
                if let close, Self.distance(close, key) <= 2 {
                    "did you mean \(close)?"
                } else {
                    "the keys known here are " + known.sorted().joined(separator: ", ")
                }
            note(key, "there is no such key", remedy: remedy)
        }
    }

    /// Whether the file has the key.
    func isThere(_ key: String) -> Bool { table[key] != nil }

    private mutating func value(_ key: String) -> ConfigurationValue? {
        known.append(key)
        return table[key]
    }

    /// - Returns: nil, which is what the value reads as.
    private func wrongType<Value>(_ key: String, _ value: ConfigurationValue, wanted: String) -> Value? {
        let type =
            switch value {
            case .table: "a table"
            case .array: "an array"
            case .string: "a string"
            case .integer: "an integer"
            case .floatingPoint: "a floating-point number"
            case .boolean: "a boolean"
            case .moment: "a date or time"
            }
        note(key, "this is \(type)", remedy: "write \(wanted)")
        return nil
    }

    /// Levenshtein distance: how many letters are mistyped.
    private static func distance(_ left: String, _ right: String) -> Int {
        let right = Array(right)
        var row = Array(0...right.count)
        for (index, letter) in left.enumerated() {
            var diagonal = row[0]
            row[0] = index + 1
            for column in right.indices {
                let substituted = diagonal + (right[column] == letter ? 0 : 1)
                diagonal = row[column + 1]
                row[column + 1] = min(substituted, row[column] + 1, diagonal + 1)
            }
        }
        return row[right.count]
    }
}

// MARK: - Values

extension ConfigurationSection {
    mutating func string(_ key: String) -> String? {
        guard let value = value(key) else { return nil }
        guard case .string(let string) = value else { return wrongType(key, value, wanted: "a string") }
        return string
    }

    /// A string that is a file name: absolute, since the daemon's working directory is not the reader's.
    mutating func path(_ key: String) -> String? {
        guard let path = string(key) else { return nil }
        guard path.hasPrefix("/"), path.utf8.count <= 4096 else {
            note(key, "“\(path)” is not an absolute path", remedy: "write one that begins with /")
            return nil
        }
        return path
    }

    /// A path that a socket can have.
    mutating func socketPath(_ key: String) -> String? {
        guard let path = path(key) else { return nil }
        guard path.utf8.count <= UnixListener.longestPath else {
            note(
                key, "the path has \(path.utf8.count) bytes",
                remedy: "choose one of at most \(UnixListener.longestPath), which is all that a socket can have")
            return nil
        }
        return path
    }

    /// A string that names something, as a ``TopologyName``.
    mutating func name(_ key: String) -> String? {
        guard let name = string(key) else { return nil }
        guard TopologyName.isValid(name.utf8) else {
            note(key, "“\(name)” is not a name", remedy: TopologyName.remedy)
            return nil
        }
        return name
    }

    mutating func requiredName(_ key: String) -> String? {
        name(key) ?? missing(key)
    }

    /// Notes a key that has to be there, unless it is and has been found wanting. - Returns: nil.
    func missing<Value>(_ key: String) -> Value? {
        if table[key] == nil { note(key, "this key is missing", remedy: "add it") }
        return nil
    }

    mutating func boolean(_ key: String) -> Bool? {
        guard let value = value(key) else { return nil }
        guard case .boolean(let boolean) = value else { return wrongType(key, value, wanted: "true or false") }
        return boolean
    }

    mutating func choice<Choice>(_ key: String) -> Choice?
    where Choice: RawRepresentable<String> & CaseIterable {
        guard let text = string(key) else { return nil }
        guard let choice = Choice(rawValue: text) else {
            let choices = Choice.allCases.map { "“\($0.rawValue)”" }.joined(separator: ", ")
            note(key, "“\(text)” is not one of the choices", remedy: "write one of \(choices)")
            return nil
        }
        return choice
    }

    mutating func integer(_ key: String, in range: ClosedRange<Int>) -> Int? {
        guard let value = value(key) else { return nil }
        guard case .integer(let number) = value else { return wrongType(key, value, wanted: "an integer") }
        return checked(number, key, range)
    }

    /// A part of something: above 0, and 1 at most.
    mutating func fraction(_ key: String) -> Double? {
        guard let value = value(key) else { return nil }
        let number: Double
        switch value {
        case .floatingPoint(let value): number = value
        case .integer(let value): number = Double(value)
        default: return wrongType(key, value, wanted: "a number such as 0.5")
        }
        guard number > 0, number <= 1 else {
            note(key, "\(number) is out of range", remedy: "write a number above 0 and up to 1.0")
            return nil
        }
        return number
    }

    /// One of a few numbers.
    mutating func integer(_ key: String, among choices: [Int]) -> Int? {
        guard let value = value(key) else { return nil }
        guard case .integer(let number) = value else { return wrongType(key, value, wanted: "an integer") }
        guard choices.contains(number) else {
            let list = choices.map(String.init).joined(separator: ", ")
            note(key, "\(number) is not one of the choices", remedy: "write one of \(list)")
            return nil
        }
        return number
    }

    /// A number of bytes: an integer, or a string with a unit such as `"64 GiB"`.
    mutating func bytes(_ key: String, in range: ClosedRange<Int>) -> Int? {
        guard let value = value(key) else { return nil }
        if case .integer(let number) = value { return checked(number, key, range) }
        guard case .string(let text) = value, let number = ByteCount.parse(text) else {
            return wrongType(key, value, wanted: "an integer, or a string such as \"64 GiB\"")
        }
        return checked(number, key, range)
    }

    /// As ``bytes(_:in:)``; nil, too, for `"auto"`.
    mutating func automaticBytes(_ key: String, in range: ClosedRange<Int>) -> Int? {
        if case .string("auto") = table[key] {
            known.append(key)
            return nil
        }
        return bytes(key, in: range)
    }

    /// A 64-bit address: an integer, or a `"0x…"` string for what TOML's signed integers cannot hold.
    mutating func address(_ key: String) -> UInt64? {
        guard let value = value(key) else { return nil }
        if case .integer(let number) = value, let address = UInt64(exactly: number) { return address }
        if case .string(let text) = value, text.hasPrefix("0x"), !text.hasPrefix("0x+"),
            let address = UInt64(text.dropFirst(2), radix: 16)
        {
            return address
        }
        return wrongType(key, value, wanted: "an address: an integer of 0 or more, or a string such as \"0xfee00000\"")
    }

    private func checked(_ number: Int, _ key: String, _ range: ClosedRange<Int>) -> Int? {
        guard range.contains(number) else {
            note(
                key, "\(number) is out of range",
                remedy: "write a number from \(range.lowerBound) to \(range.upperBound)")
            return nil
        }
        return number
    }
}

// MARK: - Arrays and tables

extension ConfigurationSection {
    mutating func strings(_ key: String) -> [String]? {
        guard let value = value(key) else { return nil }
        guard case .array(let array) = value else { return wrongType(key, value, wanted: "an array of strings") }
        var strings: [String] = []
        for (index, element) in array.enumerated() {
            guard case .string(let string) = element else {
                return wrongType("\(key)[\(index)]", element, wanted: "a string")
            }
            strings.append(string)
        }
        return strings
    }

    mutating func integers(_ key: String, in range: ClosedRange<Int>) -> [Int]? {
        guard let value = value(key) else { return nil }
        guard case .array(let array) = value else { return wrongType(key, value, wanted: "an array of integers") }
        var numbers: [Int] = []
        for (index, element) in array.enumerated() {
            let path = "\(key)[\(index)]"
            guard case .integer(let number) = element else {
                return wrongType(path, element, wanted: "an integer")
            }
            guard let number = checked(number, path, range) else { return nil }
            numbers.append(number)
        }
        return numbers
    }

    /// The table under a key, an empty one if it is not there.
    mutating func section(_ key: String) -> ConfigurationSection {
        let empty = ConfigurationSection(
            file: file, path: keyPath(key), table: ConfigurationTable(), mistakes: mistakes)
        guard let value = value(key) else { return empty }
        guard case .table(let table) = value else {
            return wrongType(key, value, wanted: "a section, [\(keyPath(key))]") ?? empty
        }
        return ConfigurationSection(file: file, path: keyPath(key), table: table, mistakes: mistakes)
    }

    /// The tables of an array of tables; nil if it is not there.
    mutating func sections(_ key: String) -> [ConfigurationSection]? {
        guard let value = value(key) else { return nil }
        guard case .array(let array) = value else {
            return wrongType(key, value, wanted: "[[\(keyPath(key))]] for each")
        }
        var sections: [ConfigurationSection] = []
        for (index, element) in array.enumerated() {
            let path = "\(key)[\(index)]"
            guard case .table(let table) = element else { return wrongType(path, element, wanted: "a table") }
            sections.append(
                ConfigurationSection(file: file, path: keyPath(path), table: table, mistakes: mistakes))
        }
        return sections
    }
}
