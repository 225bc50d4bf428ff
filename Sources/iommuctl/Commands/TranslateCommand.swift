import ArgumentParser
import JSONRPC

/// `iommuctl translate DEVICE IOVA`
struct TranslateCommand: DaemonCommand {
    enum Access: String, ExpressibleByArgument, CaseIterable { case read, write, execute }

    static let configuration = CommandConfiguration(
        commandName: "translate",
        abstract: "Ask the SMMU where an access of a device would go, and how it got there. Changes nothing.")

    @OptionGroup var options: GlobalOptions
    @OptionGroup var session: SessionOption
    @OptionGroup var picture: PictureOptions

    @Option(help: "The PASID (SubstreamID) of the access.")
    var pasid: UInt32?

    @Option(help: "read, write or execute.")
    var access = Access.read

    @Flag(help: "A privileged access.")
    var privileged = false

    @Flag(help: "Show every field, and every descriptor of stage 2.")
    var full = false

    @Argument(help: "The device's name.")
    var device: String

    @Argument(help: "The address: 4096, 0x1000, 64K.")
    var iova: String

    func run(on daemon: Daemon) throws {
        guard let address = Amount.parse(iova) else {
            throw Failure.usage("“\(iova)” is no address; write 4096, 0x1000 or 64K")
        }
        try session.enter(daemon, create: false)
        let stream = try daemon.stream(ofDevice: device)
        let result = try daemon.call(
            "smmu.translate",
            [
                "smmu": stream.smmu, "stream_id": stream.id, "iova": .hex(address), "access": .string(access.rawValue),
                "pasid": pasid.map { .integer(Int($0)) }, "privileged": privileged ? .bool(true) : nil,
                "trace": .bool(true),
            ])
        guard picture.svg || picture.dot || options.output == .table else { return options.output.show(result) }
        let walk = try daemon.walk(result, of: stream, substreamID: pasid ?? 0, title: title(address), iova: address)
        guard !picture.draw({ WalkPicture(walk).picture }) else { return }
        options.output.show(result) { _ in WalkText(walk, isFull: full).text }
    }

    private func title(_ address: UInt64) -> String {
        let verb = ["read": "reads", "write": "writes", "execute": "executes"][access.rawValue] ?? access.rawValue
        return "\(device)\(pasid.map { " with PASID \($0)" } ?? "") \(verb) \(Hex.text(address))"
    }
}

extension Daemon {
    /// Where a device's transactions enter: its SMMU and first StreamID.
    fileprivate func stream(ofDevice name: String) throws(Failure) -> (smmu: JSONValue?, id: JSONValue?) {
        let devices = try call("topology.list")["devices"]?.arrayValue ?? []
        guard let device = devices.first(where: { $0["name"]?.stringValue == name }) else {
            let hint = Suggestion.text(for: name, among: devices.compactMap { $0["name"]?.stringValue })
            throw .usage("there is no device “\(name)”" + (hint ?? "; iommuctl topology lists them"))
        }
        return (device["smmu"], device["stream_ids"]?[0])
    }

    /// The walk that an answer tells of, with the structures that were before it.
    func walk(
        _ result: JSONValue, of stream: (smmu: JSONValue?, id: JSONValue?), substreamID: UInt32, title: String,
        iova: UInt64
    ) throws(Failure) -> Walk {
        let ste = try structure("smmu.ste", ["smmu": stream.smmu, "stream_id": stream.id])
        let cd = try structure(
            "smmu.cd",
            ["smmu": stream.smmu, "stream_id": stream.id, "substream_id": .integer(Int(substreamID))])
        let id = stream.id?.unsignedValue.map(Hex.text) ?? "-"
        return Walk(
            title: "\(title) as StreamID \(id) of \(Table.cell(stream.smmu))", iova: iova, ste: ste, cd: cd,
            result: result)
    }

    /// nil: there is none.
    private func structure(
        _ method: String, _ parameters: KeyValuePairs<String, JSONValue?>
    ) throws(Failure) -> JSONValue? {
        do throws(Failure) {
            return try call(method, parameters)
        } catch .refused {
            return nil
        } catch {
            throw error
        }
    }
}
