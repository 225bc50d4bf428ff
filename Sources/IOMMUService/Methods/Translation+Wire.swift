import IOMMU
import JSONRPC

/// One step of a walk in a result.
struct StepFields {
    let stage: Field<Count>
    let level: Field<Count>
    let table: Field<Hex>
    let index: Field<Count>
    let descriptor: Field<Hex>

    static var type: ResultType<ObjectOf<StepFields>> {
        .object { step in
            StepFields(
                stage: step.result("stage", .count, "1 or 2."),
                level: step.result("level", .count, "Of the look-up."),
                table: step.result("table", .hex, "Physical address of the table."),
                index: step.result("index", .count, "Of the descriptor in it."),
                descriptor: step.result("descriptor", .hex, "The word that was read.")
            )
        }
    }
}

struct AttributeFields {
    let memory: Field<Hex>
    let shareability: Field<String>
    let read: Field<Bool>
    let write: Field<Bool>
    let execute: Field<Bool>

    static var type: ResultType<ObjectOf<AttributeFields>> {
        .object { attributes in
            AttributeFields(
                memory: attributes.result("memory", .hex, "As in MAIR: 0x0? Device, else Normal."),
                shareability: attributes.result("shareability", .choice(["none", "outer", "inner"]), "Domain."),
                read: attributes.result("read", .bool, "Reads are permitted."),
                write: attributes.result("write", .bool, "Writes are permitted."),
                execute: attributes.result("execute", .bool, "Fetches are permitted.")
            )
        }
    }
}

/// What result fields are declared on: a method, or an object in a result.
protocol ResultDeclaring {
    func optionalResult<Kind>(_ name: StaticString, _ type: ResultType<Kind>, _ doc: String) -> Field<Kind>
}

extension MethodBuilder: ResultDeclaring {}
extension ResultBuilder: ResultDeclaring {}

/// What became of an access: `pa` and what goes with it, or `event`, or `terminated`.
struct TranslationFields {
    let pa: Field<Hex>
    let pageSize: Field<Hex>
    let attributes: Field<ObjectOf<AttributeFields>>
    let cached: Field<Bool>
    let steps: Field<ListOf<ObjectOf<StepFields>>>
    let event: Field<JSONValue>
    let terminated: Field<String>
    let meaning: Field<String>
    let hint: Field<String>

    init(_ method: some ResultDeclaring) {
        pa = method.optionalResult("pa", .hex, "The physical address.")
        pageSize = method.optionalResult("page_size", .hex, "Bytes of the page or block; 0x0: nothing translated.")
        attributes = method.optionalResult("attributes", AttributeFields.type, "What the translation permits.")
        cached = method.optionalResult("cached", .bool, "Whether the TLB answers.")
        steps = method.optionalResult("steps", .array(of: StepFields.type), "The walk, with `trace`.")
        event = method.optionalResult(
            "event", .any, "Instead of `pa`: {type, stream_id, substream_id?, address, …, record, meaning?, hint?}.")
        terminated = method.optionalResult("terminated", .string, "Instead of both: why it ends without an event.")
        meaning = method.optionalResult("meaning", .string, "Of `terminated`, where it is known: what lies behind it.")
        hint = method.optionalResult("hint", .string, "With `meaning`: what to do.")
    }
}

extension ResultWriter {
    @inline(__always)
    func write(_ result: TranslationResult, _ fields: TranslationFields) {
        switch result.outcome {
        case .translated(let output): write(output, fields)
        case .fault(let fault), .stalled(_, let fault): set(fields.event, .object(fault.members.map(\.json)))
        case .terminated(let reason): set(fields.terminated, reason)
        }
        if let cause = result.cause {
            set(fields.meaning, cause.meaning)
            set(fields.hint, cause.hint)
        }
        set(fields.cached, result.isCached)
    }

    private func write(_ output: TranslationOutput, _ fields: TranslationFields) {
        set(fields.pa, output.address)
        set(fields.pageSize, output.pageSize)
        set(fields.attributes) { $0.write(output.attributes, $1) }
    }

    func write(_ attributes: TranslationAttributes, _ fields: AttributeFields) {
        set(fields.memory, UInt64(attributes.memory))
        set(fields.shareability, attributes.shareabilityName)
        set(fields.read, attributes.isReadable)
        set(fields.write, attributes.isWritable)
        set(fields.execute, attributes.isExecutable)
    }

    func write(_ steps: [TranslationStep], _ fields: TranslationFields) {
        set(fields.steps) { list in
            for step in steps {
                list.append { object, names in
                    object.set(names.stage, step.stage)
                    object.set(names.level, step.level)
                    object.set(names.table, step.table)
                    object.set(names.index, step.index)
                    object.set(names.descriptor, step.descriptor)
                }
            }
        }
    }
}

extension TranslationAttributes {
    fileprivate var shareabilityName: String {
        switch shareability {
        case 2: "outer"
        case 3: "inner"
        default: "none"
        }
    }
}
