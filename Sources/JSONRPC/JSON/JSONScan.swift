/// The parser's inner loop over one value.
///
/// Where it stands is kept in local variables and handed to helpers by value: as members of a structure they would be
/// stored and loaded again around every node written.
struct JSONScan {
    let text: UnsafeMutablePointer<UInt8>
    let nodes: UnsafeMutablePointer<JSONNode>
    /// Indices of the containers that are open.
    let open: UnsafeMutablePointer<UInt32>
    let template: UnsafeMutablePointer<ElementTemplate>
    /// Where the value begins, and after `run()` where it ended or the problem is.
    var position: Int
    /// Where the text ends.
    let end: Int
    /// Index of the first node to write, and after `run()` of the one after the last.
    var count: Int

    /// Scans one value; returns what is wrong with it, if anything.
    mutating func run() -> JSONSyntaxError.Problem? {
        var place = Place(position: position, count: count)
        template.pointee.begin(end: end)
        let problem = scan(&place)
        position = place.position
        count = place.count
        return problem
    }

    private struct Place {
        var position: Int
        var count: Int
        var depth = 0
        /// The innermost open container is an object: a key comes before the next value.
        var isInObject = false
    }

    // MARK: Structure

    @inline(__always)
    private func scan(_ place: inout Place) -> JSONSyntaxError.Problem? {
        while true {
            place.position = skipSpace(place.position)
            if place.isInObject, let problem = key(&place) { return problem }
            let byte = text[place.position]
            let problem: JSONSyntaxError.Problem?
            switch byte {
            case UInt8(ascii: "\""):
                problem = string(&place)
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                if isRepetition(&place) {
                    problem = nil
                    break
                }
                guard place.depth < JSONParser.maximumDepth else { return .tooDeep }
                // The closing bracket is two after the opening one in ASCII.
                if begin(byte == UInt8(ascii: "{"), &place) != byte &+ 2 { continue }
                problem = nil
            case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
                problem = number(&place)
            default:
                problem = literal(&place)
            }
            if let problem { return problem }
            let next = afterValue(&place)
            if next == UInt8(ascii: ",") { continue }
            return next == 0 ? nil : .unexpectedByte
        }
    }

    /// Whether the container here is an element like the one before it; if so, steps over it and over those after it
    /// that are.
    @inline(__always)
    private func isRepetition(_ place: inout Place) -> Bool {
        // Requests of a batch are carried out one by one.
        guard place.depth > 1, !place.isInObject else { return false }
        let array = Int(open[place.depth &- 1])
        guard nodes[array].length >= ElementTemplate.elementsBefore else { return false }
        let end = template.pointee.follow(array, text, place.position, nodes, &place.count)
        guard end > 0 else { return false }
        place.position = end
        return true
    }

    /// Opens a container; returns the first byte within.
    @inline(__always)
    private func begin(_ isObject: Bool, _ place: inout Place) -> UInt8 {
        open[place.depth] = UInt32(truncatingIfNeeded: place.count)
        place.depth &+= 1
        place.isInObject = isObject
        push(isObject ? .object : .array, start: place.position, length: 0, &place)
        place.position = skipSpace(place.position &+ 1)
        return text[place.position]
    }

    /// After a value: closes the containers that end here. Returns a comma if another value follows, 0 if none is open,
    /// else a byte that cannot stand here.
    @inline(__always)
    private func afterValue(_ place: inout Place) -> UInt8 {
        while place.depth > 0 {
            let index = Int(open[place.depth &- 1])
            let container = nodes + index
            place.position = skipSpace(place.position)
            let byte = text[place.position]
            if byte == UInt8(ascii: ",") {
                container.pointee.length &+= 1
                place.position &+= 1
                return byte
            }
            // An unexpected NUL is not to be taken for the end.
            guard byte == (place.isInObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) else { return byte | 1 }
            place.position &+= 1
            container.pointee.next = UInt32(truncatingIfNeeded: place.count)
            // Commas were counted: a container that holds anything has one value more.
            if place.count &- 1 > index { container.pointee.length &+= 1 }
            place.depth &-= 1
            if place.depth > 0 { place.isInObject = nodes[Int(open[place.depth &- 1])].kind == .object }
        }
        return 0
    }

    @inline(__always)
    private func key(_ place: inout Place) -> JSONSyntaxError.Problem? {
        guard text[place.position] == UInt8(ascii: "\"") else { return .unexpectedByte }
        if let problem = string(&place) { return problem }
        place.position = skipSpace(place.position)
        guard text[place.position] == UInt8(ascii: ":") else { return .unexpectedByte }
        place.position = skipSpace(place.position &+ 1)
        return nil
    }

    @inline(__always)
    private func skipSpace(_ position: Int) -> Int {
        var position = position
        while JSONBytes.isSpace(text[position]) { position &+= 1 }
        return position
    }

    @inline(__always)
    private func push(
        _ kind: JSONNode.Kind, start: Int, length: Int, escaped: Bool = false, _ place: inout Place
    ) {
        (nodes + place.count).initialize(
            to: JSONNode(kind, start: start, length: length, next: place.count &+ 1, escaped: escaped))
        place.count &+= 1
    }

    // MARK: Scalars

    @inline(__always)
    private func string(_ place: inout Place) -> JSONSyntaxError.Problem? {
        let start = place.position &+ 1
        var cursor = start
        var special = JSONBytes.special(at: text + cursor)
        while special == 0 {
            cursor &+= 8
            special = JSONBytes.special(at: text + cursor)
        }
        cursor &+= special.trailingZeroBitCount &>> 3
        // Nearly all strings are plain.
        if text[cursor] == UInt8(ascii: "\"") {
            push(.string, start: start, length: cursor &- start, &place)
            place.position = cursor &+ 1
            return nil
        }
        let end = JSONBytes.endOfString(text, cursor)
        place.position = end.cursor
        if end.problem == nil {
            push(.string, start: start, length: end.cursor &- start, escaped: end.isEscaped, &place)
            place.position &+= 1
        }
        return end.problem
    }

    @inline(__always)
    private func number(_ place: inout Place) -> JSONSyntaxError.Problem? {
        let start = place.position
        if text[place.position] == UInt8(ascii: "-") { place.position &+= 1 }
        let leading = text[place.position]
        let whole = skipDigits(&place)
        guard whole > 0, whole == 1 || leading != UInt8(ascii: "0") else { return .badNumber }
        var kind = JSONNode.Kind.integer
        if text[place.position] == UInt8(ascii: ".") {
            kind = .real
            place.position &+= 1
            guard skipDigits(&place) > 0 else { return .badNumber }
        }
        if text[place.position] | 0x20 == UInt8(ascii: "e") {
            kind = .real
            place.position &+= 1
            let sign = text[place.position]
            if sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") { place.position &+= 1 }
            guard skipDigits(&place) > 0 else { return .badNumber }
        }
        push(kind, start: start, length: place.position &- start, &place)
        return nil
    }

    /// Steps over digits; returns how many.
    @inline(__always)
    private func skipDigits(_ place: inout Place) -> Int {
        let start = place.position
        while text[place.position] &- UInt8(ascii: "0") <= 9 { place.position &+= 1 }
        return place.position &- start
    }

    @inline(__always)
    private func literal(_ place: inout Place) -> JSONSyntaxError.Problem? {
        guard let (kind, length) = JSONBytes.literal(text + place.position) else {
            return text[place.position] >= 0x80 ? .invalidUTF8 : .unexpectedByte
        }
        push(kind, start: place.position, length: length, &place)
        place.position &+= length
        return nil
    }
}
