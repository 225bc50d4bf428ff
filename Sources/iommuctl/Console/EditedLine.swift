/// A line while it is written.
struct EditedLine {
    private(set) var characters: [Character] = []
    private(set) var cursor = 0

    var text: String { String(characters) }
    /// What stands before the cursor.
    var head: String { String(characters[..<cursor]) }

    init(_ text: String = "") {
        characters = Array(text)
        cursor = characters.count
    }

    mutating func insert(_ text: String) {
        characters.insert(contentsOf: Array(text), at: cursor)
        cursor += text.count
    }

    mutating func move(by count: Int) { cursor = min(max(0, cursor + count), characters.count) }
    mutating func moveToStart() { cursor = 0 }
    mutating func moveToEnd() { cursor = characters.count }

    mutating func moveByWord(_ direction: Int) {
        while let next = passed(direction), next == " " { move(by: direction) }
        while let next = passed(direction), next != " " { move(by: direction) }
    }

    /// What the cursor passes next.
    private func passed(_ direction: Int) -> Character? {
        let place = direction > 0 ? cursor : cursor - 1
        return characters.indices.contains(place) ? characters[place] : nil
    }

    mutating func deleteBefore() {
        guard cursor > 0 else { return }
        cursor -= 1
        characters.remove(at: cursor)
    }

    mutating func deleteAt() { if cursor < characters.count { characters.remove(at: cursor) } }

    mutating func deleteToStart() {
        characters.removeSubrange(..<cursor)
        cursor = 0
    }

    mutating func deleteToEnd() { characters.removeSubrange(cursor...) }

    mutating func deleteWordBefore() {
        let end = cursor
        moveByWord(-1)
        characters.removeSubrange(cursor..<end)
    }
}
