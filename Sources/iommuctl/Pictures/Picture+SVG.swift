/// As SVG: text of one width, so that it ends where it was measured to end.
extension Picture {
    private struct Colours {
        let fill: String
        let line: String
    }

    private static func colours(_ tone: Tone) -> Colours {
        switch tone {
        case .plain: Colours(fill: "#f6f8fa", line: "#8c959f")
        case .memory: Colours(fill: "#e6f4ea", line: "#2f7d4f")
        case .table: Colours(fill: "#e8f0fe", line: "#3367b1")
        case .device: Colours(fill: "#fef3e0", line: "#b06a00")
        case .structure: Colours(fill: "#f3e8fd", line: "#7b4bb0")
        case .session: Colours(fill: "#e0f2f1", line: "#00796b")
        case .good: Colours(fill: "#d8f3dc", line: "#1b7f3b")
        case .bad: Colours(fill: "#fde7e9", line: "#c62828")
        }
    }

    private static let ink = "#1f2328"
    private static let grey = "#57606a"

    /// The whole file.
    var svg: String {
        let size = "width=\"\(Self.number(width))\" height=\"\(Self.number(height))\""
        var lines = [
            "<svg xmlns=\"http://www.w3.org/2000/svg\" \(size) viewBox=\"0 0 \(Self.number(width)) "
                + "\(Self.number(height))\" font-family=\"'DejaVu Sans Mono', Menlo, Consolas, monospace\">",
            "<title>\(Self.escaped(title))</title>", Self.markers,
            "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>",
            Self.text(title, Layout.margin, 46, size: Layout.titleSize, weight: "bold"),
        ]
        if !subtitle.isEmpty {
            lines.append(Self.text(subtitle, Layout.margin, 70, size: Layout.textSize, colour: Self.grey))
        }
        lines += areas.flatMap(Self.area) + arrows.flatMap(arrow) + boxes.flatMap(Self.box)
        lines += notes.map { Self.text($0.text, $0.x, $0.y, size: Layout.textSize, colour: Self.grey) }
        return (lines + ["</svg>"]).joined(separator: "\n") + "\n"
    }

    private static let markers =
        "<defs>"
        + Tone.allCases.map { tone in
            "<marker id=\"\(tone.rawValue)\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"7\" "
                + "markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L10 5L0 10z\" "
                + "fill=\"\(colours(tone).line)\"/></marker>"
        }.joined() + "</defs>"

    // MARK: Parts

    private static func area(_ area: Area) -> [String] {
        let frame = area.frame
        let colour = area.isStrong ? "#57606a" : "#afb8c1"
        let style = area.isStrong ? "fill=\"#fbfcfd\"" : "fill=\"#f3f5f7\" stroke-dasharray=\"5 4\""
        var lines = [rectangle(frame, radius: 12, "\(style) stroke=\"\(colour)\" stroke-width=\"1.5\"")]
        let x = frame.x + Layout.padding
        var y = frame.y + 24
        if !area.heading.isEmpty {
            lines.append(text(area.heading, x, y, size: area.isStrong ? 17 : Layout.headingSize, weight: "bold"))
            y += Layout.lineHeight
        }
        for line in area.lines {
            lines.append(text(line, x, y, size: Layout.textSize, colour: grey))
            y += Layout.lineHeight
        }
        return lines
    }

    private static func box(_ box: Box) -> [String] {
        let colours = colours(box.tone)
        let frame = box.frame
        var lines = [
            rectangle(frame, radius: 8, "fill=\"\(colours.fill)\" stroke=\"\(colours.line)\" stroke-width=\"1.5\"")
        ]
        let x = frame.x + Layout.padding
        var y = frame.y + Layout.padding + 13
        lines.append(text(box.heading, x, y, size: Layout.headingSize, weight: "bold", colour: ink))
        y += Layout.headingHeight
        for line in box.lines {
            lines.append(text(line, x, y, size: Layout.textSize, colour: grey))
            y += Layout.lineHeight
        }
        return lines
    }

    /// A smooth line by its points, horizontal where it begins and ends.
    private func arrow(_ arrow: Arrow) -> [String] {
        guard let first = arrow.points.first else { return [] }
        var path = "M\(Self.number(first.x)) \(Self.number(first.y))"
        for (before, next) in zip(arrow.points, arrow.points.dropFirst()) {
            if before.x == next.x || before.y == next.y {
                path += "L\(Self.number(next.x)) \(Self.number(next.y))"
            } else {
                let middle = (before.x + next.x) / 2
                path +=
                    "C\(Self.number(middle)) \(Self.number(before.y)) \(Self.number(middle)) \(Self.number(next.y)) "
                path += "\(Self.number(next.x)) \(Self.number(next.y))"
            }
        }
        let colour = Self.colours(arrow.tone).line
        return [
            "<path d=\"\(path)\" fill=\"none\" stroke=\"\(colour)\" stroke-width=\"1.6\" "
                + "marker-end=\"url(#\(arrow.tone.rawValue))\"/>"
        ]
    }

    private static func rectangle(_ frame: Frame, radius: Double, _ style: String) -> String {
        "<rect x=\"\(number(frame.x))\" y=\"\(number(frame.y))\" width=\"\(number(frame.width))\" "
            + "height=\"\(number(frame.height))\" rx=\"\(number(radius))\" \(style)/>"
    }

    private static func text(
        _ text: String, _ x: Double, _ y: Double, size: Double, weight: String = "normal", colour: String = ink
    ) -> String {
        let length = number(Layout.textWidth(text, size: size))
        let bold = weight == "normal" ? "" : " font-weight=\"\(weight)\""
        return "<text x=\"\(number(x))\" y=\"\(number(y))\" font-size=\"\(number(size))\"\(bold) fill=\"\(colour)\" "
            + "textLength=\"\(length)\" lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\">"
            + "\(escaped(text))</text>"
    }

    /// With one digit behind the point at most.
    static func number(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        let sign = tenths < 0 ? "-" : ""
        let rest = abs(tenths) % 10
        return "\(sign)\(abs(tenths) / 10)" + (rest == 0 ? "" : ".\(rest)")
    }

    private static func escaped(_ text: String) -> String {
        let entities: [Character: String] = ["&": "&amp;", "<": "&lt;", ">": "&gt;"]
        return Printable.text(text).reduce(into: "") { $0 += entities[$1] ?? String($1) }
    }
}
