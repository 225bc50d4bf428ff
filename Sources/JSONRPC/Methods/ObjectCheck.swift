import Glibc

extension SchemaProgram.Tables {
    /// Checks the members of an object and leaves what they amount to in the slots of its fields.
    func acceptObject(
        _ index: Int, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>, _ source: ParameterSource
    ) -> Bool {
        guard source.nodes[index].kind == .object else { return refuse(.wrongType, "it has to be an object") }
        clear(type, source)
        var cursor = index &+ 1
        let end = Int(source.nodes[index].next)
        var expected = 0
        while cursor < end {
            guard acceptMember(cursor, type, source, &expected) else { return false }
            cursor = Int(source.nodes[cursor &+ 1].next)
        }
        return requireAll(type, source)
    }

    /// All fields of the type as they are when nothing is given: absent, or at their defaults.
    @inline(__always)
    func clear(_ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>, _ source: ParameterSource) {
        let first = fields + type.pointee.first
        for index in 0..<type.pointee.count {
            source.slots[first[index].slot] = ParameterSlot(bits: first[index].defaultBits, node: 0)
        }
    }

    @inline(__always)
    private func acceptMember(
        _ key: Int, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>, _ source: ParameterSource,
        _ expected: inout Int
    ) -> Bool {
        let number = find(key, type, source, &expected)
        guard number >= 0 else { return refuseKey(key, .unknown, type, source) }
        let field = fields + (type.pointee.first &+ number)
        let slot = source.slots + field.pointee.slot
        guard slot.pointee.node == 0 else { return refuseKey(key, .duplicate, type, source) }
        // `null` means absent where that is allowed.
        if source.nodes[key &+ 1].kind == .null, !field.pointee.isRequired { return true }
        if accept(key &+ 1, field.pointee.type, source, &slot.pointee) { return true }
        failure.pointee.within(member: source.nodes[key].string(source.text))
        return false
    }

    /// Clients name parameters in an order of their own but keep to it, most often the declared one: the field after
    /// the last one found is tried first.
    @inline(__always)
    private func find(
        _ key: Int, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>, _ source: ParameterSource,
        _ expected: inout Int
    ) -> Int {
        if source.nodes[key].escaped { return findEscaped(key, type, source) }
        let text = source.text + Int(source.nodes[key].start)
        let length = Int(source.nodes[key].length)
        let first = fields + type.pointee.first
        for step in 0..<type.pointee.count {
            var number = expected &+ step
            if number >= type.pointee.count { number &-= type.pointee.count }
            if first[number].keyLength == length, memcmp(first[number].key, text, length) == 0 {
                expected = number &+ 1
                return number
            }
        }
        return -1
    }

    private func findEscaped(
        _ key: Int, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>, _ source: ParameterSource
    ) -> Int {
        let name = Array(source.nodes[key].string(source.text).utf8)
        for number in 0..<type.pointee.count {
            let field = fields[type.pointee.first + number]
            if field.keyLength == name.count, memcmp(field.key, name, name.count) == 0 { return number }
        }
        return -1
    }

    @inline(__always)
    func requireAll(_ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>, _ source: ParameterSource) -> Bool {
        let first = fields + type.pointee.first
        for index in 0..<type.pointee.count where first[index].isRequired {
            guard source.slots[first[index].slot].node != 0 else { return refuseMissing(first[index]) }
        }
        return true
    }

    @inline(never)
    private func refuseMissing(_ field: SchemaProgram.FieldRecord) -> Bool {
        _ = refuse(.missing, "it is required")
        failure.pointee.within(member: Self.text(field))
        return false
    }

    @inline(never)
    private func refuseKey(
        _ key: Int, _ reason: ParameterFailure.Reason, _ type: UnsafeMutablePointer<SchemaProgram.TypeRecord>,
        _ source: ParameterSource
    ) -> Bool {
        let known = (0..<type.pointee.count).map { Self.text(fields[type.pointee.first + $0]) }
        let list = known.isEmpty ? "none are taken" : "known are " + known.joined(separator: ", ")
        _ = refuse(reason, reason == .unknown ? list : "give it once")
        failure.pointee.within(member: source.nodes[key].string(source.text))
        return false
    }

    private static func text(_ field: SchemaProgram.FieldRecord) -> String {
        String(decoding: UnsafeBufferPointer(start: field.key, count: field.keyLength), as: UTF8.self)
    }
}
