/// A line as words, as a shell makes them: quotes, backslashes, `$name`, and `#` before a remark.
struct ShellWords {
    private(set) var words: [String] = []
    /// Whether the line ends inside of a word, or before the first; else a blank has ended it.
    private(set) var endsInWord = false

    private var word = ""
    private var hasWord = false
    private var quote: Character?
    private let variable: (String) throws(Failure) -> String

    /// The words of a whole line.
    ///
    /// - Parameter variable: what stands for a name behind `$`.
    static func split(_ line: String, variable: (String) throws(Failure) -> String) throws(Failure) -> [String] {
        try withoutActuallyEscaping(variable) { variable throws(Failure) in
            var words = ShellWords(variable)
            try words.read(line)
            guard words.quote == nil else { throw .usage("a quote does not end") }
            return words.words
        }
    }

    /// The words of a line that is still being written.
    static func unfinished(_ line: String) -> ShellWords {
        var words = ShellWords { "$" + $0 }
        // Variables that stand for themselves are no mistake.
        try? words.read(line)
        return words
    }

    private init(_ variable: @escaping (String) throws(Failure) -> String) { self.variable = variable }

    private mutating func read(_ line: String) throws(Failure) {
        var rest = line[...]
        while let character = rest.popFirst() {
            if character == quote {
                quote = nil
            } else if quote == "'" {
                word.append(character)
            } else if character == "\\" {
                hasWord = true
                word.append(rest.popFirst() ?? "\\")
            } else if character == "$", let name = Self.name(&rest) {
                hasWord = true
                word += try variable(name)
            } else if quote == nil, character == "'" || character == "\"" {
                hasWord = true
                quote = character
            } else if quote == nil, character.isWhitespace {
                end()
            } else if quote == nil, character == "#", !hasWord {
                return
            } else {
                hasWord = true
                word.append(character)
            }
        }
        endsInWord = hasWord || quote != nil
        end()
    }

    private mutating func end() {
        if hasWord { words.append(word) }
        word = ""
        hasWord = false
    }

    /// The name behind `$`, if one stands there.
    private static func name(_ rest: inout Substring) -> String? {
        let isBraced = rest.first == "{"
        let text = isBraced ? rest.dropFirst() : rest
        let name = text.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
        let behind = text.dropFirst(name.count)
        guard !name.isEmpty, !isBraced || behind.first == "}" else { return nil }
        rest = isBraced ? behind.dropFirst() : behind
        return String(name)
    }
}
