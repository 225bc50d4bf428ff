/// The objects of a session from left to right: what refers to others stands left of them.
struct ObjectPicture {
    /// A place in a column: an object, or where an arrow passes.
    private struct Place {
        /// nil: an arrow passes here.
        var object: Int?
        var frame = Picture.Frame()
        /// Places of the column before and behind that belong to it.
        var before: [Int] = []
        var behind: [Int] = []
    }

    private(set) var picture: Picture
    private let graph: ObjectGraph
    private var places: [Place] = []
    /// Places from top to bottom, column by column.
    private var columns: [[Int]] = []
    /// From object to object, by places.
    private var routes: [[Int]] = []

    init(_ graph: ObjectGraph, of session: String?) {
        self.graph = graph
        let count = graph.objects.count
        picture = Picture(
            title: "Objects of \(session.map { "session \($0)" } ?? "a private session")",
            subtitle: "\(count) object\(count == 1 ? "" : "s"); arrows lead to what an object refers to")
        place()
        for _ in 0..<6 { sort() }
        measure()
        draw()
    }

    // MARK: Columns

    /// Every object into its column, and a place into each column that an arrow passes.
    private mutating func place() {
        let depths = graph.depths
        let last = depths.max() ?? 0
        columns = Array(repeating: [], count: last + 1)
        places = graph.objects.indices.map { Place(object: $0) }
        for index in graph.objects.indices { columns[last - depths[index]].append(index) }
        for (index, object) in graph.objects.enumerated() {
            for target in object.references {
                var route = [index]
                for column in (last - depths[index] + 1)..<max(last - depths[target], last - depths[index] + 1) {
                    columns[column].append(places.count)
                    route.append(places.count)
                    places.append(Place())
                }
                route.append(target)
                for (from, to) in zip(route, route.dropFirst()) {
                    places[from].behind.append(to)
                    places[to].before.append(from)
                }
                routes.append(route)
            }
        }
    }

    /// Orders each column by where its neighbours stand, from the left and back.
    private mutating func sort() {
        for column in columns.indices.dropFirst() { sort(column, by: \.before, column - 1) }
        for column in columns.indices.dropLast().reversed() { sort(column, by: \.behind, column + 1) }
    }

    private mutating func sort(_ column: Int, by neighbours: KeyPath<Place, [Int]>, _ other: Int) {
        let order = Dictionary(uniqueKeysWithValues: columns[other].enumerated().map { ($1, Double($0)) })
        let weights = columns[column].enumerated().map { position, place in
            let found = places[place][keyPath: neighbours].compactMap { order[$0] }
            return (place: place, weight: found.isEmpty ? Double(position) : found.reduce(0, +) / Double(found.count))
        }
        columns[column] = weights.enumerated().sorted {
            ($0.element.weight, $0.offset) < ($1.element.weight, $1.offset)
        }.map(\.element.place)
    }

    // MARK: Measures

    private static let narrowest = 130.0
    private static let widest = 230.0

    private mutating func measure() {
        let count = Double(columns.count)
        let space = count > 5 ? 36.0 : 60.0
        let room = Layout.width - 2 * Layout.margin - space * (count - 1)
        let width = min(Self.widest, max(Self.narrowest, room / count))
        let used = width * count + space * (count - 1)
        picture.width = max(Layout.width, used + 2 * Layout.margin)
        var tallest = 0.0
        for (column, members) in columns.enumerated() {
            var y = 0.0
            for place in members {
                let lines = places[place].object.map { Layout.wrapped(graph.objects[$0].state, width: width).count }
                let height = lines.map { Layout.boxHeight(lines: $0) } ?? Layout.gap
                let x = (picture.width - used) / 2 + Double(column) * (width + space)
                places[place].frame = Picture.Frame(x: x, y: y, width: width, height: height)
                y += height + Layout.gap
            }
            tallest = max(tallest, y - Layout.gap)
        }
        for members in columns {
            let height = members.last.map { places[$0].frame.y + places[$0].frame.height } ?? 0
            for place in members { places[place].frame.y += Layout.top + (tallest - height) / 2 }
        }
        picture.height = Layout.top + tallest + Layout.margin
    }

    // MARK: Drawing

    private mutating func draw() {
        for (index, object) in graph.objects.enumerated() {
            let frame = places[index].frame
            picture.boxes.append(
                Picture.Box(
                    heading: object.title, lines: Layout.wrapped(object.state, width: frame.width),
                    tone: Self.tone(object.kind), frame: frame))
        }
        for route in routes {
            guard let first = route.first, let last = route.last else { continue }
            var points: [(x: Double, y: Double)] = []
            for (step, place) in route.enumerated() {
                let frame = places[place].frame
                let middle = frame.y + frame.height / 2
                if step > 0 {
                    points.append((frame.x, step == route.count - 1 ? port(into: place, from: route) : middle))
                }
                if step < route.count - 1 { points.append((frame.x + frame.width, middle)) }
            }
            picture.arrows.append(
                Picture.Arrow(from: first, to: last, points: points, tone: Self.tone(graph.objects[last].kind)))
        }
    }

    /// Where on its left side a box is met: arrows from above, above.
    private func port(into place: Int, from route: [Int]) -> Double {
        let frame = places[place].frame
        let sources = places[place].before.sorted { places[$0].frame.y < places[$1].frame.y }
        let position = sources.firstIndex(of: route[route.count - 2]) ?? 0
        let share = Double(position + 1) / Double(sources.count + 1)
        return frame.y + frame.height * share
    }

    private static func tone(_ kind: String) -> Picture.Tone {
        switch kind {
        case "device", "vdevice": .device
        case "ioas", "hwpt": .table
        case "memory": .memory
        case "viommu", "vsmmu", "fault", "veventq": .structure
        case "mm", "bond", "queue": .session
        default: .plain
        }
    }
}
