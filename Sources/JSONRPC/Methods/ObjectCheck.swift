import Glibc

extension ParameterSource {
    /// Checks the members of an object and leaves what they amount to in the slots of its fields.
    ///
    /// An element of an array is visited twice, to be checked and to be read. The first visit leaves the number of the
    /// field in each key's node, and bits in the nodes of values that are no more than that; the second only copies.
    func acceptObject(
        _ index: Int, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>
    ) -> Bool {
        guard nodes[index].kind == .object else { return refuse(.wrongType, "it has to be an object") }
        clear(type)
        guard !nodes[index].escaped else { return acceptAgain(index, type) }
        var cursor = index &+ 1
        let end = Int(nodes[index].next)
        var expected = 0
        while cursor < end {
            guard acceptMember(cursor, type, &expected) else {
                return checkRest(afterMember: cursor, end, type, expected)
            }
            cursor = Int(nodes[cursor &+ 1].next)
        }
        guard requireAll(type) else { return false }
        nodes[index].escaped = true
        return true
    }

    /// The number of a member that is as good as absent.
    private static let absent = UInt32.max

    @inline(__always)
    private func acceptAgain(_ index: Int, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>) -> Bool {
        let first = program.pointee.fields + type.pointee.first
        let end = Int(nodes[index].next)
        var cursor = index &+ 1
        while cursor < end {
            let number = nodes[cursor].length
            let value = cursor &+ 1
            if number != Self.absent {
                let field = first + Int(number)
                let slot = slots + field.pointee.slot
                if field.pointee.isInBits {
                    slot.initialize(to: ParameterSlot(bits: nodes[value].bits, node: UInt32(truncatingIfNeeded: value)))
                } else {
                    guard accept(value, field.pointee.type, &slot.pointee) else { return false }
                }
            }
            cursor = Int(nodes[value].next)
        }
        return true
    }

    /// All fields of the type as they are when nothing is given: absent, or at their defaults.
    @inline(__always)
    func clear(_ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>) {
        let first = program.pointee.fields + type.pointee.first
        for index in 0..<type.pointee.count {
            slots[first[index].slot] = ParameterSlot(bits: first[index].defaultBits, node: 0)
        }
    }

    @inline(__always)
    func acceptMember(
        _ key: Int, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>,
        _ expected: inout Int
    ) -> Bool {
        let number = find(key, type, &expected)
        guard number >= 0 else { return refuseKey(key, .unknown, type) }
        let field = program.pointee.fields + (type.pointee.first &+ number)
        let slot = slots + field.pointee.slot
        guard slot.pointee.node == 0 else { return refuseKey(key, .duplicate, type) }
        // `null` means absent where that is allowed.
        if nodes[key &+ 1].kind == .null, !field.pointee.isRequired {
            nodes[key].length = Self.absent
            return true
        }
        if accept(key &+ 1, field.pointee.type, &slot.pointee) {
            nodes[key].length = UInt32(truncatingIfNeeded: number)
            if field.pointee.isInBits { nodes[key &+ 1].bits = slot.pointee.bits }
            return true
        }
        program.pointee.failure.pointee.within(member: nodes[key].string(text))
        return false
    }

    /// Clients name parameters in an order of their own but keep to it, most often the declared one: the field after
    /// the last one found is tried first.
    @inline(__always)
    private func find(
        _ key: Int, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>,
        _ expected: inout Int
    ) -> Int {
        if nodes[key].escaped { return findEscaped(key, type) }
        let text = text + Int(nodes[key].start)
        let length = Int(nodes[key].length)
        let head = JSONBytes.prefix(text, length)
        let first = program.pointee.fields + type.pointee.first
        for step in 0..<type.pointee.count {
            var number = expected &+ step
            if number >= type.pointee.count { number &-= type.pointee.count }
            let field = first + number
            guard field.pointee.head == head, field.pointee.keyLength == length else { continue }
            guard length <= 8 || memcmp(field.pointee.key, text, length) == 0 else { continue }
            expected = number &+ 1
            return number
        }
        return -1
    }

    private func findEscaped(
        _ key: Int, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>
    ) -> Int {
        let name = Array(nodes[key].string(text).utf8)
        for number in 0..<type.pointee.count {
            let field = program.pointee.fields[type.pointee.first + number]
            if field.keyLength == name.count, memcmp(field.key, name, name.count) == 0 { return number }
        }
        return -1
    }

    @inline(__always)
    func requireAll(_ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>) -> Bool {
        let first = program.pointee.fields + type.pointee.first
        for index in 0..<type.pointee.count where first[index].isRequired {
            guard slots[first[index].slot].node != 0 else { return refuseMissing(first[index]) }
        }
        return true
    }

    @inline(never)
    private func refuseMissing(_ field: SchemaProgram.FieldRecord) -> Bool {
        _ = refuse(.missing, "it is required")
        program.pointee.failure.pointee.within(member: Self.name(field))
        return false
    }

    @inline(never)
    private func refuseKey(
        _ key: Int, _ reason: ParameterFailure.Reason, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>
    ) -> Bool {
        let known = (0..<type.pointee.count).map { Self.name(program.pointee.fields[type.pointee.first + $0]) }
        let list = known.isEmpty ? "none are taken" : "known are " + known.joined(separator: ", ")
        _ = refuse(reason, reason == .unknown ? list : "give it once")
        program.pointee.failure.pointee.within(member: nodes[key].string(text))
        return false
    }

    private static func name(_ field: SchemaProgram.FieldRecord) -> String {
        String(decoding: UnsafeBufferPointer(start: field.key, count: field.keyLength), as: UTF8.self)
    }
}
