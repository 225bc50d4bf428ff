/// Schemas of one method compiled to flat tables, so that checking touches no reference-counted object.
final class SchemaProgram {
    struct TypeRecord {
        enum Kind: UInt8 {
            case bool, id, unsigned, signed, number, hex, string, choice, flags, base64, array, object,
                map, nameOrID, any
        }

        var kind: Kind
        /// Smallest and largest value, length or number of elements.
        var low: UInt64 = 0
        var high: UInt64 = .max
        /// First field of an object, first name of a choice, type of an array's elements, pattern of a string.
        var first = -1
        var count = 0

        var isInBits: Bool {
            switch kind {
            case .bool, .id, .unsigned, .choice, .flags: true
            default: false
            }
        }
    }

    struct FieldRecord {
        /// The first eight bytes of the name.
        let head: UInt64
        let key: UnsafePointer<UInt8>
        let keyLength: Int
        let type: Int
        let isRequired: Bool
        /// A checked value is all in its slot's bits: the text is not read again.
        let isInBits: Bool
        let defaultBits: UInt64
        /// Where the checked value goes.
        let slot: Int
    }

    struct NameRecord {
        /// The first eight bytes of the name.
        let head: UInt64
        let text: UnsafeMutablePointer<UInt8>
        let length: Int
    }

    /// What checking needs, by pointer.
    struct Tables {
        let types: UnsafeMutablePointer<TypeRecord>
        let fields: UnsafeMutablePointer<FieldRecord>
        let names: UnsafeMutablePointer<NameRecord>
        let patterns: UnsafeMutablePointer<StringPattern>
        let failure: UnsafeMutablePointer<ParameterFailure>
    }

    let tables: UnsafeMutablePointer<Tables>
    let root: Int
    /// Slots that one call needs.
    let slotCount: Int
    private let counts: (types: Int, names: Int, patterns: Int)

    /// - Parameter numbersSlots: Whether fields get slots of their own here. Parameters have theirs from the
    ///   declaration.
    init(_ schema: TypeSchema, numbersSlots: Bool = false) {
        var compiler = SchemaCompiler(numbersSlots: numbersSlots)
        root = compiler.add(schema)
        slotCount = compiler.slotCount
        counts = (compiler.types.count, compiler.names.count, compiler.patterns.count)
        let failure = UnsafeMutablePointer<ParameterFailure>.allocate(capacity: 1)
        failure.initialize(to: ParameterFailure())
        tables = .allocate(capacity: 1)
        tables.initialize(
            to: Tables(
                types: Self.copy(compiler.types), fields: Self.copy(compiler.fields), names: Self.copy(compiler.names),
                patterns: Self.copy(compiler.patterns), failure: failure))
    }

    deinit {
        let owned = tables.pointee
        for index in 0..<counts.names { owned.names[index].text.deallocate() }
        owned.patterns.deinitialize(count: counts.patterns)
        owned.failure.deinitialize(count: 1)
        owned.types.deallocate()
        owned.fields.deallocate()
        owned.names.deallocate()
        owned.patterns.deallocate()
        owned.failure.deallocate()
        tables.deallocate()
    }

    private static func copy<Record>(_ records: [Record]) -> UnsafeMutablePointer<Record> {
        let memory = UnsafeMutablePointer<Record>.allocate(capacity: max(1, records.count))
        for (index, record) in records.enumerated() { (memory + index).initialize(to: record) }
        return memory
    }
}

/// Flattens a schema tree.
private struct SchemaCompiler {
    let numbersSlots: Bool
    var types: [SchemaProgram.TypeRecord] = []
    var fields: [SchemaProgram.FieldRecord] = []
    var names: [SchemaProgram.NameRecord] = []
    var patterns: [StringPattern] = []
    var slotCount = 0

    init(numbersSlots: Bool) { self.numbersSlots = numbersSlots }

    mutating func add(_ schema: TypeSchema) -> Int {
        let record = compile(schema)
        types.append(record)
        return types.count - 1
    }

    private mutating func compile(_ schema: TypeSchema) -> SchemaProgram.TypeRecord {
        switch schema {
        case .bool: return .init(kind: .bool)
        case .id: return .init(kind: .id)
        case .signed: return .init(kind: .signed)
        case .number: return .init(kind: .number)
        case .hex: return .init(kind: .hex)
        case .nameOrID: return .init(kind: .nameOrID)
        // Of what the daemon says itself, only a part is checked.
        case .any, .signedOrNull: return .init(kind: .any)
        case .unsigned(let range): return .init(kind: .unsigned, low: range.lowerBound, high: range.upperBound)
        case .string(let maximum, let pattern):
            if let pattern { patterns.append(pattern) }
            return .init(kind: .string, high: UInt64(maximum), first: pattern == nil ? -1 : patterns.count - 1)
        case .choice(let names): return named(.choice, names)
        case .flags(let names): return named(.flags, names)
        case .base64(let maximum): return .init(kind: .base64, high: UInt64(maximum))
        case .array(let element, let count):
            return .init(
                kind: .array, low: UInt64(count.lowerBound), high: UInt64(count.upperBound), first: add(element))
        case .map(let element): return .init(kind: .map, first: add(element))
        case .object(let members): return object(members)
        }
    }

    private mutating func named(_ kind: SchemaProgram.TypeRecord.Kind, _ list: [String]) -> SchemaProgram.TypeRecord {
        let first = names.count
        for name in list {
            let text = UnsafeMutablePointer<UInt8>.allocate(capacity: name.utf8.count + 8)
            for (index, byte) in name.utf8.enumerated() { text[index] = byte }
            let length = name.utf8.count
            names.append(.init(head: Self.head(text, length), text: text, length: length))
        }
        return .init(kind: kind, first: first, count: list.count)
    }

    /// The members of one object are adjacent: what they are made of comes first.
    private mutating func object(_ members: [FieldSchema]) -> SchemaProgram.TypeRecord {
        let memberTypes = members.map { add($0.type) }
        let first = fields.count
        for (member, type) in zip(members, memberTypes) {
            let slot = numbersSlots ? slotCount : member.slot
            let length = member.name.utf8CodeUnitCount
            fields.append(
                .init(
                    head: Self.head(member.name.utf8Start, length), key: member.name.utf8Start, keyLength: length,
                    type: type, isRequired: member.isRequired,
                    isInBits: types[type].isInBits, defaultBits: member.defaultBits, slot: slot))
            slotCount = max(slotCount, slot + 1)
        }
        return .init(kind: .object, first: first, count: members.count)
    }

    /// As `JSONBytes.prefix`, of a name that may end before the eighth byte.
    private static func head(_ text: UnsafePointer<UInt8>, _ length: Int) -> UInt64 {
        (0..<min(8, length)).reduce(0) { $0 | UInt64(text[$1]) << UInt64(8 * $1) }
    }
}
