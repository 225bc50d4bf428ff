/// What somebody may have meant.
enum Suggestion {
    /// `; did you mean “…”?`, if anything is near enough.
    static func text(for word: String, among words: [String]) -> String? {
        nearest(to: word, among: words).map { "; did you mean “\($0)”?" }
    }

    /// The word that differs least, if it differs little.
    static func nearest(to word: String, among words: [String]) -> String? {
        let wanted = Array(word.lowercased().utf8.prefix(64))
        let limit = max(1, wanted.count / 3)
        let near = words.map { (word: $0, distance: distance(wanted, Array($0.lowercased().utf8.prefix(64)))) }
            .filter { $0.distance <= limit }
        if let best = near.min(by: { $0.distance < $1.distance }) { return best.word }
        return words.first { word.count > 1 && $0.hasPrefix(word) }
    }

    /// How many letters to insert, drop, replace or swap with their neighbour.
    private static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var before = [Int](repeating: 0, count: b.count + 1)
        var last = Array(0...b.count)
        for row in a.indices {
            var next = [row + 1] + [Int](repeating: 0, count: b.count)
            for column in b.indices {
                let replaced = last[column] + (a[row] == b[column] ? 0 : 1)
                next[column + 1] = min(replaced, last[column + 1] + 1, next[column] + 1)
                if row > 0, column > 0, a[row] == b[column - 1], a[row - 1] == b[column] {
                    next[column + 1] = min(next[column + 1], before[column - 1] + 1)
                }
            }
            (before, last) = (last, next)
        }
        return last[b.count]
    }
}
