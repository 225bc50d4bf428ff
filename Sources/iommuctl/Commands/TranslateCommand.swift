import ArgumentParser
import JSONRPC

/// `iommuctl translate DEVICE IOVA`
struct TranslateCommand: ParsableCommand {
    enum Access: String, ExpressibleByArgument, CaseIterable { case read, write, execute }

    static let configuration = CommandConfiguration(
        commandName: "translate",
        abstract: "Ask the SMMU where an access of a device would go, and how it got there. Changes nothing.")

    @OptionGroup var options: GlobalOptions

    @Option(help: "The named session that has the device; an administrator needs none.")
    var session: String?

    @Option(help: "The PASID (SubstreamID) of the access.")
    var pasid: UInt32?

    @Option(help: "read, write or execute.")
    var access = Access.read

    @Flag(help: "A privileged access.")
    var privileged = false

    @Argument(help: "The device's name.")
    var device: String

    @Argument(help: "The address, decimal or 0x….")
    var iova: String

    func run() throws {
        let daemon = try options.connect()
        try daemon.enter(session: session, create: false)
        let address = iova.hasPrefix("0x") ? JSONValue.string(iova) : (try? JSONValue(parsing: iova)) ?? .string(iova)
        let stream = try daemon.stream(ofDevice: device)
        let result = try daemon.call(
            "smmu.translate",
            [
                "smmu": stream.smmu, "stream_id": stream.id, "iova": address, "access": .string(access.rawValue),
                "pasid": pasid.map { .integer(Int($0)) }, "privileged": privileged ? .bool(true) : nil,
                "trace": .bool(true),
            ])
        options.output.show(result) { TranslationText.describe($0, iova: iova) }
    }
}

extension Daemon {
    /// Where a device's transactions enter: its SMMU and first StreamID.
    fileprivate func stream(ofDevice name: String) throws(Failure) -> (smmu: JSONValue?, id: JSONValue?) {
        let devices = try call("topology.list")["devices"]?.arrayValue ?? []
        guard let device = devices.first(where: { $0["name"]?.stringValue == name }) else {
            throw .usage("there is no device “\(name)”; iommuctl topology lists them")
        }
        return (device["smmu"], device["stream_ids"]?[0])
    }
}

/// The result of `smmu.translate` as text.
enum TranslationText {
    static func describe(_ result: JSONValue, iova: String) -> String {
        var text = steps(result)
        if let event = result["event"] {
            text += "\(iova) faults: \(Table.cell(event["type"]))\n"
            text += ValueText.describe(.object((event.objectValue ?? []).filter { $0.key != "type" }))
            return text
        }
        guard let address = result["pa"] else { return text + ValueText.describe(result) }
        text += "\(iova) → \(Table.cell(address))"
        for key in ["page_size", "attributes", "cached"] {
            if let value = result[key] { text += "  \(key)=\(Table.cell(value))" }
        }
        return Printable.lines(text) + "\n"
    }

    /// The walk, one line a step.
    static func steps(_ result: JSONValue) -> String {
        result["steps"].flatMap(ValueText.table) ?? ""
    }
}
