import Glibc

extension ParameterSource {
    /// Checks one value against a type and leaves what it amounts to in `slot`; on refusal `failure` says why.
    ///
    /// Escapes in strings are resolved in place, so that readers afterwards find plain UTF-8.
    func accept(_ node: Int, _ type: Int, _ slot: inout ParameterSlot) -> Bool {
        slot.node = UInt32(truncatingIfNeeded: node)
        let record = program.pointee.types + type
        switch record.pointee.kind {
        case .unsigned, .id: return acceptInteger(node, record, &slot)
        case .object: return acceptObject(node, record)
        case .array: return acceptArray(node, record, &slot)
        case .flags: return acceptFlags(node, record, &slot)
        case .bool:
            let kind = nodes[node].kind
            slot.bits = kind == .true ? 1 : 0
            return kind == .true || kind == .false || refuse(.wrongType, "it has to be true or false")
        case .string, .choice, .base64, .hex: return acceptText(node, record, &slot)
        case .nameOrID:
            guard nodes[node].kind == .string else { return acceptInteger(node, record, &slot) }
            unescape(node)
            return true
        case .signed, .number: return acceptNumber(node, record)
        case .map: return acceptMap(node, record)
        case .any: return true
        }
    }

    @inline(never)
    func refuse(_ reason: ParameterFailure.Reason, _ expected: @autoclosure () -> String) -> Bool {
        program.pointee.failure.pointee.set(reason, expected: expected())
        return false
    }

    // MARK: Numbers

    @inline(__always)
    private func acceptInteger(
        _ index: Int, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>,
        _ slot: inout ParameterSlot
    ) -> Bool {
        let node = nodes[index]
        let text = text + Int(node.start)
        let value: JSONInteger
        if node.kind == .integer {
            value = .decimal(text, Int(node.length))
        } else if node.kind == .string, type.pointee.kind != .nameOrID {
            unescape(index)
            value = .hexadecimal(text, Int(nodes[index].length))
        } else {
            return refuse(.wrongType, Self.expectation(type.pointee))
        }
        guard case .unsigned(let bits) = value else { return refuse(value, type.pointee) }
        if type.pointee.kind == .id || type.pointee.kind == .nameOrID {
            slot.bits = min(bits, UInt64(UInt32.max))
            return true
        }
        slot.bits = bits
        guard bits >= type.pointee.low, bits <= type.pointee.high else {
            return refuse(.outOfRange, "it has to be from \(type.pointee.low) to \(type.pointee.high)")
        }
        return true
    }

    private func refuse(_ value: JSONInteger, _ type: SchemaProgram.TypeRecord) -> Bool {
        switch value {
        case .negative: refuse(.negative, Self.expectation(type))
        case .tooLarge: refuse(.over64Bits, "it has to fit 64 bits")
        case .malformed, .unsigned: refuse(.badHex, "a string has to be 0x and hexadecimal digits")
        }
    }

    private static func expectation(_ type: SchemaProgram.TypeRecord) -> String {
        switch type.kind {
        case .unsigned, .id: "it has to be an unsigned integer or a string of 0x and digits"
        case .nameOrID: "it has to be a name or an unsigned integer"
        default: "it has to be an unsigned integer"
        }
    }

    private func acceptNumber(
        _ node: Int, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>
    ) -> Bool {
        let kind = nodes[node].kind
        let isNumber = kind == .integer || kind == .real && type.pointee.kind == .number
        return isNumber || refuse(.wrongType, "it has to be a number")
    }

    // MARK: Text

    @inline(__always)
    private func unescape(_ index: Int) {
        guard nodes[index].escaped else { return }
        let length = JSONBytes.unescape(text + Int(nodes[index].start), Int(nodes[index].length))
        nodes[index].length = UInt32(truncatingIfNeeded: length)
        nodes[index].escaped = false
    }

    private func acceptText(
        _ index: Int, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>,
        _ slot: inout ParameterSlot
    ) -> Bool {
        guard nodes[index].kind == .string else { return refuse(.wrongType, "it has to be a string") }
        unescape(index)
        let text = text + Int(nodes[index].start)
        let length = Int(nodes[index].length)
        switch type.pointee.kind {
        case .choice:
            guard let choice = name(text, length, type) else { return refuseName(type) }
            slot.bits = UInt64(choice)
        case .hex:
            guard case .unsigned = JSONInteger.hexadecimal(text, length) else {
                return refuse(.badHex, "it has to be 0x and hexadecimal digits")
            }
        case .base64:
            guard let decoded = Base64.decodedLength(text, length) else {
                return refuse(.badBase64, "it has to be base64 with padding")
            }
            slot.bits = UInt64(decoded)
            guard slot.bits <= type.pointee.high else {
                return refuse(.tooLong, "at most \(type.pointee.high) bytes are allowed")
            }
        default:
            return acceptString(text, length, type)
        }
        return true
    }

    private func acceptString(
        _ text: UnsafeMutablePointer<UInt8>, _ length: Int, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>
    ) -> Bool {
        guard UInt64(length) <= type.pointee.high else {
            return refuse(.tooLong, "at most \(type.pointee.high) bytes are allowed")
        }
        guard type.pointee.first >= 0 else { return true }
        let pattern = program.pointee.patterns + type.pointee.first
        return pattern.pointee.accepts(UnsafeRawBufferPointer(start: text, count: length))
            || refuse(.badFormat, "it has to match \(pattern.pointee.expression)")
    }

    @inline(__always)
    private func name(
        _ text: UnsafePointer<UInt8>, _ length: Int, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>
    ) -> Int? {
        let head = JSONBytes.prefix(text, length)
        let first = program.pointee.names + type.pointee.first
        for index in 0..<type.pointee.count where first[index].head == head && first[index].length == length {
            if length <= 8 || memcmp(first[index].text, text, length) == 0 { return index }
        }
        return nil
    }

    private func refuseName(_ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>) -> Bool {
        let allowed = (0..<type.pointee.count).map { index in
            let name = program.pointee.names[type.pointee.first + index]
            return String(decoding: UnsafeBufferPointer(start: name.text, count: name.length), as: UTF8.self)
        }
        return refuse(.unknownValue, "known are " + allowed.joined(separator: ", "))
    }

    // MARK: Containers

    @inline(__always)
    private func acceptFlags(
        _ index: Int, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>,
        _ slot: inout ParameterSlot
    ) -> Bool {
        guard nodes[index].kind == .array else { return refuse(.wrongType, "it has to be an array of names") }
        var bits: UInt64 = 0
        var cursor = index &+ 1
        var position = 0
        while cursor < Int(nodes[index].next) {
            let flag = acceptFlag(cursor, type)
            guard flag >= 0 else {
                program.pointee.failure.pointee.within(element: position)
                return false
            }
            bits |= 1 &<< UInt64(flag)
            cursor = Int(nodes[cursor].next)
            position &+= 1
        }
        slot.bits = bits
        return true
    }

    /// The number of the flag named at `index`, -1 if there is none.
    @inline(__always)
    private func acceptFlag(
        _ index: Int, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>
    ) -> Int {
        guard nodes[index].kind == .string else {
            _ = refuse(.wrongType, "it has to be a string")
            return -1
        }
        unescape(index)
        let node = nodes[index]
        if let flag = name(text + Int(node.start), Int(node.length), type) { return flag }
        _ = refuseName(type)
        return -1
    }

    private func acceptArray(
        _ index: Int, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>,
        _ slot: inout ParameterSlot
    ) -> Bool {
        guard nodes[index].kind == .array else { return refuse(.wrongType, "it has to be an array") }
        slot.bits = UInt64(type.pointee.first)
        // Elements of an array are visited twice, to be checked and to be read.
        if nodes[index].escaped { return true }
        let count = UInt64(nodes[index].length)
        let elements = program.pointee.types + type.pointee.first
        switch elements.pointee.kind {
        case .unsigned, .id:
            guard acceptIntegers(index, type.pointee.first, elements) else { return false }
        default: guard acceptElements(index, type.pointee.first) else { return false }
        }
        guard count >= type.pointee.low, count <= type.pointee.high else {
            return refuse(.wrongCount, "from \(type.pointee.low) to \(type.pointee.high) elements are allowed")
        }
        return true
    }

    /// Leaves the values in the nodes of the array and marks it, so that no text is read again.
    @inline(__always)
    private func acceptIntegers(
        _ index: Int, _ number: Int, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>
    ) -> Bool {
        let end = Int(nodes[index].next)
        var cursor = index &+ 1
        while cursor < end {
            var element = ParameterSlot(bits: 0, node: 0)
            guard acceptInteger(cursor, type, &element) else {
                return checkRest(of: cursor, after: 0, at: cursor &- index &- 1, end, number)
            }
            let next = Int(nodes[cursor].next)
            nodes[cursor].start = UInt32(truncatingIfNeeded: element.bits)
            nodes[cursor].length = UInt32(truncatingIfNeeded: element.bits &>> 32)
            cursor = next
        }
        nodes[index].escaped = true
        return true
    }

    private func acceptMap(
        _ index: Int, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>
    ) -> Bool {
        guard nodes[index].kind == .object else { return refuse(.wrongType, "it has to be an object") }
        var cursor = index &+ 1
        while cursor < Int(nodes[index].next) {
            var member = ParameterSlot(bits: 0, node: 0)
            guard accept(cursor &+ 1, type.pointee.first, &member) else {
                program.pointee.failure.pointee.within(member: nodes[cursor].string(text))
                return false
            }
            cursor = Int(nodes[cursor &+ 1].next)
        }
        return true
    }
}
