import JSONRPC

/// More mappings than one request can hold: several requests, all or none of them.
struct MappingBatches {
    private let ioas: JSONValue
    private let mappings: [JSONValue]

    /// A line with so many is well below what the daemon reads.
    private static let size = 2000

    /// nil: it is another call, or one request does.
    init?(_ call: MethodCall) {
        guard call.name == "ioas.map_many", let ioas = call.parameters["ioas"],
            let mappings = call.parameters["mappings"]?.arrayValue, mappings.count > Self.size
        else { return nil }
        self.ioas = ioas
        self.mappings = mappings
    }

    /// - Returns: what one request would have answered.
    func run(on daemon: Daemon) throws(Failure) -> JSONValue {
        var progress = Progress("mapping", of: mappings.count)
        var iovas: [JSONValue] = []
        while iovas.count < mappings.count {
            let batch = Array(mappings[iovas.count..<min(iovas.count + Self.size, mappings.count)])
            do throws(Failure) {
                let result = try daemon.call("ioas.map_many", ["ioas": ioas, "mappings": .array(batch)])
                iovas += result["iovas"]?.arrayValue ?? []
            } catch {
                progress.end()
                undo(iovas, on: daemon)
                throw error
            }
            progress.show(iovas.count)
        }
        progress.end()
        return .object([.init(key: "iovas", value: .array(iovas))])
    }

    private func undo(_ iovas: [JSONValue], on daemon: Daemon) {
        for (iova, mapping) in zip(iovas, mappings) {
            _ = try? daemon.call("ioas.unmap", ["ioas": ioas, "iova": iova, "length": mapping["length"]])
        }
    }
}
