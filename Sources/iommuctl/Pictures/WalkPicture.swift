/// A walk from top to bottom: STE, CD, and a row for each descriptor of stage 1, before it what stage 2 did for it.
struct WalkPicture {
    private(set) var picture: Picture
    private let walk: Walk
    private var y = Layout.top
    /// The box that the next one follows.
    private var last: Int?

    private static let mainWidth = 300.0
    private static let stepWidth = 164.0
    private static let mainX = Layout.width - Layout.margin - mainWidth
    private static let space = 26.0

    init(_ walk: Walk) {
        self.walk = walk
        let isNested = walk.steps.contains { $0.resolution != nil }
        picture = Picture(
            title: walk.title,
            subtitle: isNested
                ? "right: stage 1; left: what stage 2 did to find each of its descriptors" : "what was read, in order")
        if isNested {
            addRows()
        } else {
            addChain()
        }
        for text in [walk.meaning, walk.hint].compactMap({ $0 }) { addNote(text) }
        picture.height = y + Layout.gap
    }

    private mutating func addNote(_ text: String) {
        for line in Wrapping.lines(text, width: Layout.characters(Layout.width - 2 * Layout.margin)) {
            picture.notes.append(Picture.Note(text: line, x: Layout.margin, y: y + Layout.lineHeight))
            y += Layout.lineHeight
        }
    }

    // MARK: One stage

    /// All boxes from left to right.
    private mutating func addChain() {
        var boxes = structures
        let isOver = walk.hasFailed && walk.last == nil
        for (index, step) in walk.steps.enumerated() {
            boxes.append(Self.box(step, isWrong: isOver && index == walk.steps.count - 1))
        }
        boxes += walk.last.map { Self.boxes($0, isWrong: walk.hasFailed) } ?? []
        boxes.append(end)
        let width = min(
            Self.mainWidth,
            (Layout.width - 2 * Layout.margin - Self.space * Double(boxes.count - 1)) / Double(boxes.count))
        let lines = boxes.map { Layout.wrapped($0.lines, width: width) }
        let height = Layout.boxHeight(lines: lines.map(\.count).max() ?? 0)
        for (index, var box) in boxes.enumerated() {
            box.lines = lines[index]
            box.frame = Picture.Frame(
                x: Layout.margin + Double(index) * (width + Self.space), y: y, width: width, height: height)
            picture.boxes.append(box)
            if index > 0 { connect(index - 1, index, isDown: false) }
        }
        y += height + Layout.gap
    }

    // MARK: Two stages

    private mutating func addRows() {
        addStructures()
        for step in walk.steps {
            let isLast = step.table == walk.steps.last?.table && walk.hasFailed && walk.last == nil
            addRow(Self.box(step, isWrong: isLast), step.resolution)
        }
        addRow(end, walk.last, isWrong: walk.hasFailed)
    }

    private var structures: [Picture.Box] {
        let fails = walk.hasFailed && walk.steps.isEmpty && walk.last == nil
        let ste = walk.ste.map {
            Picture.Box(
                heading: "STE", lines: WalkStructures.ste($0), tone: fails && walk.cd == nil ? .bad : .structure)
        }
        let cd = walk.cd.map {
            Picture.Box(heading: "CD", lines: WalkStructures.cd($0), tone: fails ? .bad : .structure)
        }
        return [ste, cd].compactMap { $0 }
    }

    /// Both in the first row.
    private mutating func addStructures() {
        let boxes = structures.map { box in
            var box = box
            box.lines = Layout.wrapped(box.lines, width: Self.mainWidth)
            return box
        }
        let height = boxes.map { Layout.boxHeight(lines: $0.lines.count) }.max() ?? 0
        for (index, var box) in boxes.enumerated() {
            let left = Double(boxes.count - 1 - index) * (Self.mainWidth + Self.space)
            box.frame = Picture.Frame(x: Self.mainX - left, y: y, width: Self.mainWidth, height: height)
            picture.boxes.append(box)
            if index > 0 { connect(index - 1, index, isDown: false) }
        }
        last = boxes.indices.last
        y += height + Self.space
    }

    /// A box on the right, and the walk of stage 2 that led to it on the left.
    private mutating func addRow(_ box: Picture.Box, _ resolution: Walk.Resolution? = nil, isWrong: Bool = false) {
        var box = box
        box.lines = Layout.wrapped(box.lines, width: Self.mainWidth)
        let mainHeight = Layout.boxHeight(lines: box.lines.count)
        let steps = resolution.map { Self.boxes($0, isWrong: isWrong) } ?? []
        let stepHeight = steps.map { Layout.boxHeight(lines: $0.lines.count) }.max() ?? 0
        let height = max(mainHeight, stepHeight)
        box.frame = Picture.Frame(
            x: Self.mainX, y: y + (height - mainHeight) / 2, width: Self.mainWidth, height: mainHeight)
        let main = picture.boxes.count
        picture.boxes.append(box)
        if let last { connect(last, main, isDown: true) }
        addSteps(steps, before: main, height: stepHeight, y + (height - stepHeight) / 2)
        last = main
        y += height + Self.space
    }

    private mutating func addSteps(_ steps: [Picture.Box], before main: Int, height: Double, _ top: Double) {
        let start = Self.mainX - Double(steps.count) * (Self.stepWidth + Self.space)
        var before: Int?
        for (index, step) in steps.enumerated() {
            var box = step
            box.frame = Picture.Frame(
                x: start + Double(index) * (Self.stepWidth + Self.space), y: top, width: Self.stepWidth, height: height)
            let number = picture.boxes.count
            picture.boxes.append(box)
            if let before { connect(before, number, isDown: false) }
            before = number
        }
        if let before { connect(before, main, isDown: false) }
    }

    private mutating func connect(_ from: Int, _ to: Int, isDown: Bool) {
        let a = picture.boxes[from].frame
        let b = picture.boxes[to].frame
        let points: [(x: Double, y: Double)] =
            isDown
            ? [(a.x + a.width / 2, a.y + a.height), (b.x + b.width / 2, b.y)]
            : [(a.x + a.width, a.y + a.height / 2), (b.x, a.y + a.height / 2)]
        picture.arrows.append(Picture.Arrow(from: from, to: to, points: points, tone: picture.boxes[to].tone))
    }

    /// Where the access ends.
    private var end: Picture.Box {
        let isWrong = walk.hasFailed
        var lines = isWrong ? [] : WalkText.outcome(walk.result)
        if let address = walk.event?["address"] { lines.append("at \(Table.cell(address))") }
        return Picture.Box(
            heading: isWrong ? walk.eventType : Table.cell(walk.result["pa"]), lines: lines,
            tone: isWrong ? .bad : .good)
    }

    // MARK: Boxes

    private static func box(_ step: Walk.Step, isWrong: Bool) -> Picture.Box {
        let descriptor = PageDescription(step)
        return Picture.Box(
            heading: "S1 level \(step.level)",
            lines: ["\(Hex.text(step.table))[\(step.index)]", unbroken(descriptor.text)], tone: isWrong ? .bad : .table)
    }

    /// An arrow stays with the address that it leads to.
    private static func unbroken(_ text: String) -> String {
        String(
            text.enumerated().map { index, character in
                let before = index > 0 ? text[text.index(text.startIndex, offsetBy: index - 1)] : " "
                return before == "→" && character == " " ? "\u{a0}" : character
            })
    }

    /// The address that stage 2 resolves, and a box for each of its descriptors.
    private static func boxes(_ resolution: Walk.Resolution, isWrong: Bool) -> [Picture.Box] {
        var boxes: [Picture.Box] = []
        for (index, step) in resolution.steps.enumerated() {
            let descriptor = PageDescription(step)
            let isLast = index == resolution.steps.count - 1
            var lines = index == 0 ? (resolution.IPA.map { ["IPA \(Hex.text($0))"] } ?? []) : []
            lines.append("[\(step.index)] \(descriptor.kind.rawValue)")
            if descriptor.kind != .invalid { lines.append("→ \(Hex.text(descriptor.address))") }
            boxes.append(
                Picture.Box(
                    heading: "S2 level \(step.level)", lines: Layout.wrapped(lines, width: stepWidth),
                    tone: isLast && isWrong ? .bad : .memory))
        }
        return boxes
    }
}
