/// Reads lines from a terminal: with history, and completion at Tab.
struct LineEditor {
    private var keyboard = Keyboard()
    private var history: History
    private let complete: (String) -> [Candidate]

    init(history: History, complete: @escaping (String) -> [Candidate]) {
        self.history = history
        self.complete = complete
    }

    /// The next line; nil at the end of the input.
    mutating func read(prompt: String) -> String? {
        guard let terminal = RawTerminal() else { return nil }
        defer { terminal.restore() }
        var line = EditedLine()
        var place = history.lines.count
        var draft = ""
        while true {
            Self.draw(prompt, line)
            guard let key = keyboard.next() else { return nil }
            switch key {
            case .enter:
                line.moveToEnd()
                Self.draw(prompt, line)
                StandardOutput.write("\n")
                history.add(line.text)
                return line.text
            case .endOfInput where line.text.isEmpty:
                StandardOutput.write("\n")
                return nil
            case .interrupt:
                StandardOutput.write("^C\n")
                line = EditedLine()
                place = history.lines.count
            case .up, .down:
                if place == history.lines.count { draft = line.text }
                place = min(max(0, place + (key == .up ? -1 : 1)), history.lines.count)
                line = EditedLine(place == history.lines.count ? draft : history.lines[place])
            case .tab: completeWord(&line)
            case .clear: StandardOutput.write("\u{1b}[2J\u{1b}[H")
            default: Self.edit(&line, key)
            }
        }
    }

    private static func edit(_ line: inout EditedLine, _ key: Keyboard.Key) {
        switch key {
        case .text(let text): line.insert(text)
        case .backspace: line.deleteBefore()
        case .delete, .endOfInput: line.deleteAt()
        case .left: line.move(by: -1)
        case .right: line.move(by: 1)
        case .wordLeft: line.moveByWord(-1)
        case .wordRight: line.moveByWord(1)
        case .home: line.moveToStart()
        case .end: line.moveToEnd()
        case .deleteToEnd: line.deleteToEnd()
        case .deleteToStart: line.deleteToStart()
        case .deleteWord: line.deleteWordBefore()
        default: break
        }
    }

    /// The part of the line around the cursor that fits, and the cursor at its place.
    private static func draw(_ prompt: String, _ line: EditedLine) {
        let terminal = Terminal.output
        let room = max(10, (terminal.width ?? 80) - prompt.count - 1)
        let start = max(0, line.cursor - room)
        let shown = String(line.characters[start..<min(line.characters.count, start + room)])
        let column = prompt.count + line.cursor - start
        StandardOutput.write(
            "\r" + terminal.paint(prompt, .cyan) + shown + "\u{1b}[K\r" + (column > 0 ? "\u{1b}[\(column)C" : ""))
    }

    /// Puts in what all candidates have in common; shows them where that is nothing more.
    private func completeWord(_ line: inout EditedLine) {
        let candidates = complete(line.head)
        guard let first = candidates.first else { return }
        let words = ShellWords.unfinished(line.head)
        let typed = words.endsInWord ? words.words.last ?? "" : ""
        let common = candidates.dropFirst().reduce(first.text) { $0.commonPrefix(with: $1.text) }
        if common.count > typed.count, common.hasPrefix(typed) {
            line.insert(String(common.dropFirst(typed.count)))
            if candidates.count == 1, !common.hasSuffix("=") { line.insert(" ") }
        } else if candidates.count == 1 {
            line.insert(" ")
        } else {
            var table = Table(header: [])
            for candidate in candidates.prefix(60) { table.add(candidate.text, candidate.summary) }
            let more = candidates.count > 60 ? "… and \(candidates.count - 60) more\n" : ""
            StandardOutput.write("\n" + table.text + more)
        }
    }
}

extension String {
    fileprivate func commonPrefix(with other: String) -> String {
        String(zip(self, other).prefix { $0 == $1 }.map(\.0))
    }
}
