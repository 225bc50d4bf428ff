/// Text in lines of limited length.
enum Wrapping {
    /// Breaks between words, after commas and dots of lists, and inside of words that are longer than a line.
    static func lines(_ text: String, width: Int) -> [String] {
        guard width > 0, text.count > width else { return [text] }
        var lines: [String] = []
        var line = ""
        for piece in pieces(text) {
            if line.count + piece.drop(suffix: " ").count > width, !line.isEmpty {
                lines.append(line.drop(suffix: " "))
                line = ""
            }
            var rest = line.isEmpty ? String(piece.drop { $0 == " " }) : piece
            while line.isEmpty, rest.drop(suffix: " ").count > width {
                lines.append(String(rest.prefix(width)))
                rest = String(rest.dropFirst(width))
            }
            line += rest
        }
        if !line.isEmpty { lines.append(line.drop(suffix: " ")) }
        return lines
    }

    /// The text below an indent, as it is continued on further lines.
    static func indented(_ text: String, by indent: Int, width: Int?) -> String {
        guard let width else { return text }
        return lines(text, width: max(20, width - indent)).joined(
            separator: "\n" + String(repeating: " ", count: indent))
    }

    /// How long the longest part is that only breaks where nothing else does.
    static func longestWord(_ text: String) -> Int {
        pieces(text).map { $0.drop(suffix: " ").count }.max() ?? 0
    }

    /// What stays together: a word with the blank behind it.
    private static func pieces(_ text: String) -> [String] {
        var pieces: [String] = []
        var piece = ""
        for character in text {
            piece.append(character)
            if character == " " || character == "," {
                pieces.append(piece)
                piece = ""
            }
        }
        return piece.isEmpty ? pieces : pieces + [piece]
    }
}

extension StringProtocol {
    /// The text with one character in the place of another.
    func swapping(_ old: Character, for new: Character) -> String { String(map { $0 == old ? new : $0 }) }
}

extension String {
    fileprivate func drop(suffix character: Character) -> String {
        var text = self
        while text.last == character { text.removeLast() }
        return text
    }
}
