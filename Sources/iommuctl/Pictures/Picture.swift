/// A drawing: boxes with text, areas around them, and arrows between them.
struct Picture {
    /// A rectangle, in pixels from the upper left corner.
    struct Frame {
        var x = 0.0
        var y = 0.0
        var width = 0.0
        var height = 0.0
    }

    /// What something is, which decides its colour.
    enum Tone: String, CaseIterable {
        case plain, memory, table, device, structure, session, good, bad
    }

    /// Something with a name and some facts.
    struct Box {
        var heading: String
        var lines: [String]
        var tone: Tone
        var frame = Frame()
        /// The area that it stands in.
        var area: Int?
    }

    /// What stands around boxes.
    struct Area {
        var heading: String
        var lines: [String] = []
        var frame = Frame()
        /// The area that it stands in.
        var area: Int?
        var isStrong = false
    }

    /// From one box to another, by some points between them.
    struct Arrow {
        var from: Int
        var to: Int
        var points: [(x: Double, y: Double)]
        var label = ""
        var tone = Tone.plain
    }

    /// Words that stand alone.
    struct Note {
        var text: String
        var x: Double
        var y: Double
    }

    var title: String
    var subtitle = ""
    var width = Layout.width
    var height = 0.0
    var boxes: [Box] = []
    var areas: [Area] = []
    var arrows: [Arrow] = []
    var notes: [Note] = []
}

/// Measures that all pictures share, in pixels.
enum Layout {
    /// A slide's width.
    static let width = 1280.0
    static let margin = 32.0
    /// Where what is drawn begins, below the title.
    static let top = 92.0
    static let padding = 12.0
    static let gap = 16.0

    static let titleSize = 24.0
    static let headingSize = 15.0
    static let textSize = 12.5
    static let lineHeight = 18.0
    static let headingHeight = 22.0

    /// How wide a character is, as a part of the size: every character of the font is.
    static let advance = 0.602

    /// How many characters of a size fit.
    static func characters(_ width: Double, size: Double = textSize) -> Int { max(1, Int(width / (size * advance))) }

    static func textWidth(_ text: String, size: Double = textSize) -> Double { Double(text.count) * size * advance }

    /// The height of a box with so many lines below its heading.
    static func boxHeight(lines: Int) -> Double {
        2 * padding + headingHeight + Double(lines) * lineHeight - (lines == 0 ? 4 : 0)
    }

    /// The lines of a box, none longer than it is wide.
    static func wrapped(_ lines: [String], width: Double) -> [String] {
        let count = characters(width - 2 * padding)
        return lines.flatMap { Wrapping.lines($0, width: count) }
    }
}
