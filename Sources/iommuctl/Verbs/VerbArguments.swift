import JSONRPC

/// The words behind a method's name as its parameters.
struct VerbArguments {
    private let method: MethodSchema
    private let reader: ValueReader
    private let parameters: [ParameterSchema]

    init(_ method: MethodSchema, _ reader: ValueReader) {
        self.method = method
        self.reader = reader
        parameters = method.parameters
    }

    /// Reads `--name VALUE`, `--name=VALUE`, `--flag`, `--no-flag`, `name=VALUE`, and values of the parameters that
    /// have to be there, in their order.
    ///
    /// - Parameter insisting: whether to refuse what lacks a parameter; else that is left to the daemon.
    func parse(_ words: [String], insisting: Bool = true) throws(Failure) -> JSONValue {
        if words.count == 1, words[0].first == "{" { return try CallParameters.object(words[0]) }
        var found: [JSONValue.Member] = []
        var bare: [String] = []
        var rest = words[...]
        var areOptions = true
        while let word = rest.popFirst() {
            if areOptions, word == "--" {
                areOptions = false
            } else if areOptions, word.hasPrefix("--") {
                try option(word, &rest, &found)
            } else if let pair = try pair(word) {
                try add(pair.value, pair.parameter, &found)
            } else {
                bare.append(word)
            }
        }
        try place(bare, &found)
        let missing = parameters.filter { parameter in
            parameter.isRequired && !found.contains { $0.key == parameter.name }
        }
        guard insisting, let first = missing.first else { return .object(found) }
        throw .usage("\(method.words) needs \(first.flag): \(first.summary)")
    }

    /// Words alone are the parameters that have to be there, as far as they are missing; where none has to be, any.
    private func place(_ bare: [String], _ found: inout [JSONValue.Member]) throws(Failure) {
        var bare = bare[...]
        let required = parameters.filter(\.isRequired)
        for parameter in required.isEmpty ? parameters : required
        where !found.contains(where: { $0.key == parameter.name }) {
            guard let word = bare.popFirst() else { return }
            try add(word, parameter, &found)
        }
        guard let extra = bare.first else { return }
        throw .usage("“\(extra)” is too much for \(method.words); options have names, such as \(example)")
    }

    private var example: String { (parameters.last?.flag ?? "--json") + (parameters.isEmpty ? "" : " VALUE") }

    private func option(
        _ word: String, _ rest: inout ArraySlice<String>, _ found: inout [JSONValue.Member]
    ) throws(Failure) {
        let sides = word.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = sides[0].swapping("-", for: "_")
        let value = sides.count == 2 ? String(sides[1]) : nil
        if name.hasPrefix("no_"), value == nil, let flag = parameters.first(where: { $0.name == name.dropFirst(3) }),
            case .bool = flag.kind
        {
            return try add("no", flag, &found)
        }
        let parameter = try known(name, as: word)
        if case .bool = parameter.kind { return try add(value ?? "yes", parameter, &found) }
        guard let value = value ?? rest.popFirst() else {
            throw .usage("\(parameter.flag) needs a value: \(parameter.summary)")
        }
        try add(value, parameter, &found)
    }

    private func known(_ name: String, as word: String) throws(Failure) -> ParameterSchema {
        if let parameter = parameters.first(where: { $0.name == name }) { return parameter }
        let hint = Suggestion.nearest(to: name, among: parameters.map(\.name))
            .flatMap { near in parameters.first { $0.name == near } }
        let all = parameters.isEmpty ? "it takes none" : "it takes \(parameters.map(\.flag).joined(separator: ", "))"
        throw .usage("\(method.words) has no parameter “\(word)”; " + (hint.map { "did you mean \($0.flag)?" } ?? all))
    }

    /// `key=value`, if the key is a parameter, or reads as if it was to be one.
    private func pair(_ word: String) throws(Failure) -> (parameter: ParameterSchema, value: String)? {
        guard let equals = word.firstIndex(of: "="), equals != word.startIndex else { return nil }
        let key = word[..<equals]
        guard key.allSatisfy({ $0.isLetter || $0.isNumber || $0 == "_" || $0 == "-" }) else { return nil }
        let name = key.swapping("-", for: "_")
        return (try known(name, as: name), String(word[word.index(after: equals)...]))
    }

    private func add(
        _ text: String, _ parameter: ParameterSchema, _ found: inout [JSONValue.Member]
    ) throws(Failure) {
        let value = try reader.value(text, of: parameter)
        guard let index = found.firstIndex(where: { $0.key == parameter.name }) else {
            return found.append(.init(key: parameter.name, value: value))
        }
        guard case .list = parameter.kind, let before = found[index].value.arrayValue, let more = value.arrayValue
        else {
            throw .usage("\(parameter.name) is given twice")
        }
        found[index] = .init(key: parameter.name, value: .array(before + more))
    }
}
