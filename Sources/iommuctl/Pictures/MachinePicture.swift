/// A machine: an area for each SMMU, in it one for each group, in it a box for each device.
struct MachinePicture {
    private(set) var picture: Picture

    private static let columns = 4
    private static let inner = Layout.width - 2 * Layout.margin - 2 * Layout.gap
    private static let groupWidth = (inner - Double(columns - 1) * Layout.gap) / Double(columns)
    private static let boxWidth = groupWidth - 2 * Layout.padding

    init(_ machine: Machine) {
        let devices = machine.smmus.reduce(0) { $0 + $1.groups.reduce(0) { $0 + $1.devices.count } }
        picture = Picture(
            title: "IOMMU topology",
            subtitle: "\(machine.smmus.count) SMMUs, \(devices) devices; devices of one group move together")
        var y = Layout.top
        for smmu in machine.smmus { y = add(smmu, at: y) + Layout.gap }
        picture.height = y + Layout.gap
    }

    /// - Returns: where it ends.
    private mutating func add(_ smmu: Machine.SMMU, at top: Double) -> Double {
        let features = smmu.features.map { $0.swapping("_", for: " ") }.joined(separator: ", ")
        let lines = features.isEmpty ? [] : Layout.wrapped([features], width: Self.inner)
        let area = picture.areas.count
        picture.areas.append(Picture.Area(heading: smmu.name, lines: lines, isStrong: true))
        var y = top + 40 + Double(lines.count) * Layout.lineHeight
        for start in stride(from: 0, to: smmu.groups.count, by: Self.columns) {
            let row = smmu.groups[start..<min(start + Self.columns, smmu.groups.count)]
            var height = 0.0
            for (column, group) in row.enumerated() {
                let x = Layout.margin + Layout.gap + Double(column) * (Self.groupWidth + Layout.gap)
                height = max(height, add(group, x, y, in: area))
            }
            for index in picture.areas.indices.suffix(row.count) { picture.areas[index].frame.height = height }
            y += height + Layout.gap
        }
        picture.areas[area].frame = Picture.Frame(
            x: Layout.margin, y: top, width: Layout.width - 2 * Layout.margin, height: y - top)
        return y
    }

    /// - Returns: its height.
    private mutating func add(_ group: Machine.Group, _ x: Double, _ top: Double, in area: Int) -> Double {
        let index = picture.areas.count
        let problem = group.problem.map { Layout.wrapped([$0], width: Self.groupWidth) } ?? []
        picture.areas.append(Picture.Area(heading: group.title, lines: problem, area: area))
        var y = top + 36 + Double(problem.count) * Layout.lineHeight
        for device in group.devices {
            let lines = Layout.wrapped(Self.lines(device), width: Self.boxWidth)
            let height = Layout.boxHeight(lines: lines.count)
            picture.boxes.append(
                Picture.Box(
                    heading: device.name, lines: lines, tone: device.owner == nil ? .device : .session,
                    frame: Picture.Frame(x: x + Layout.padding, y: y, width: Self.boxWidth, height: height),
                    area: index))
            y += height + Layout.padding
        }
        picture.areas[index].frame = Picture.Frame(x: x, y: top, width: Self.groupWidth, height: y - top)
        return y - top
    }

    private static func lines(_ device: Machine.Device) -> [String] {
        var lines = ["StreamID \(device.streamIDs)"]
        lines.append(device.pasidBits == 0 ? "no PASIDs" : "PASIDs of \(device.pasidBits) bits")
        lines += device.abilities.isEmpty ? [] : [device.abilities.joined(separator: ", ")]
        if let accelerator = device.accelerator { lines.append(accelerator) }
        lines += device.reserved.map { "not \($0)" }
        return lines + [device.owner.map { "held by \($0)" } ?? "free"]
    }
}
