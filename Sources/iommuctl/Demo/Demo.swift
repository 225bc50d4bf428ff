import JSONRPC

/// Memory by descriptor, a mapping, a device, DMA through the SMMU, the walk, a fault, and the end of the mapping.
struct Demo {
    private let daemon: Daemon
    private var story: Story

    private static let iova: UInt64 = 0x4_0000_2000
    private static let iovaText = "0x" + String(iova, radix: 16)
    private static let size = 0x1_0000
    private static let message = "Written by a device, through the SMMU."

    init(daemon: Daemon, story: Story) {
        self.daemon = daemon
        self.story = story
    }

    /// - Returns: what was seen: the device, the walk, the bytes, the fault.
    mutating func run(device wanted: String?) throws(Failure) -> JSONValue {
        story.step("This program makes \(Self.size / 1024) KiB of memory and passes it to the daemon by descriptor.")
        let memory = try SharedMemory(name: "iommuctl-demo", size: Self.size)
        let imported = try call("memory.import", ["name": .string("demo")], descriptors: [memory.descriptor])

        story.step("An IO address space; the memory appears in it at \(Self.iovaText).")
        let ioas = try call("ioas.alloc")["ioas"]
        _ = try call(
            "ioas.map",
            [
                "ioas": ioas, "memory": imported["memory"], "length": .hex(UInt64(Self.size)), "iova": .hex(Self.iova),
                "access": .array([.string("read"), .string("write")]),
            ])

        story.step("A device: this session takes it and gives it the address space.")
        let chosen = try chooseDevice(wanted)
        let device = chosen.name
        let bound = try call("device.bind", ["name": .string(device)])
        _ = try call("device.attach", ["device": bound["device"], "pt": ioas])

        let bytes = try write(device: bound["device"], into: memory)
        let walk = try showWalk(device: bound["device"], stream: chosen)
        let fault = try showEnd(device: bound["device"], ioas: ioas)
        return .object([
            .init(key: "device", value: .string(device)), .init(key: "iova", value: .hex(Self.iova)),
            .init(key: "message", value: .string(String(decoding: bytes, as: UTF8.self))),
            .init(key: "translation", value: walk), .init(key: "fault", value: fault),
        ])
    }

    private mutating func write(device: JSONValue?, into memory: SharedMemory) throws(Failure) -> [UInt8] {
        story.step("The device writes \(Self.message.utf8.count) bytes by DMA.")
        let bytes = Array(Self.message.utf8)
        _ = try call(
            "dma.write", ["device": device, "iova": .hex(Self.iova), "data": .string(Base64Text.encode(bytes))])

        story.step("This program looks at its own memory.")
        let arrived = memory.read(at: 0, count: bytes.count)
        story.detail(HexDump.text(arrived))
        story.pause()
        guard arrived == bytes else {
            StandardOutput.writeError("iommuctl: the bytes did not arrive\n")
            throw .found
        }
        return arrived
    }

    private mutating func showWalk(device: JSONValue?, stream: Chosen) throws(Failure) -> JSONValue {
        story.step("How the SMMU got there: stream table, context descriptor, page tables.")
        let result = try call(
            "smmu.translate",
            ["device": device, "iova": .hex(Self.iova), "access": .string("write"), "trace": .bool(true)],
            isShown: false)
        let walk = try daemon.walk(
            result, of: (.string(stream.smmu), .count(stream.id)), substreamID: 0,
            title: "\(stream.name) writes \(Self.iovaText)", iova: Self.iova)
        story.detail(WalkText(walk, isFull: false).text(on: story.terminal))
        story.pause()
        return result
    }

    private mutating func showEnd(device: JSONValue?, ioas: JSONValue?) throws(Failure) -> JSONValue {
        story.step("The mapping goes; what the device tries then is refused and recorded.")
        _ = try call("ioas.unmap", ["ioas": ioas, "iova": .hex(Self.iova), "length": .hex(UInt64(Self.size))])
        do throws(Failure) {
            let result = try daemon.call(
                "dma.write", ["device": device, "iova": .hex(Self.iova), "data": .string(Base64Text.encode([0]))])
            StandardOutput.writeError("iommuctl: the device still reaches the memory: \(result.text)\n")
        } catch {
            guard case .refused(let refusal, _) = error else { throw error }
            let event = refusal.details.first { $0.key == "event" }?.value ?? .null
            story.paragraph(Printable.text(refusal.message))
            for fact in WalkText.facts(event) { story.paragraph(fact) }
            return event
        }
        throw .found
    }

    /// A device and where its transactions enter.
    private struct Chosen {
        let name: String
        let smmu: String
        let id: UInt64
    }

    /// The device asked for, else the first that nobody has.
    private func chooseDevice(_ wanted: String?) throws(Failure) -> Chosen {
        let devices = try daemon.call("topology.list")["devices"]?.arrayValue ?? []
        let device = devices.first { device in
            wanted.map { device["name"] == .string($0) } ?? (device["bound_by"] ?? .null == .null)
        }
        guard let name = device?["name"]?.stringValue, let smmu = device?["smmu"]?.stringValue,
            let id = device?["stream_ids"]?[0]?.unsignedValue
        else {
            throw .usage(wanted.map { "there is no device “\($0)”" } ?? "every device is taken")
        }
        return Chosen(name: name, smmu: smmu, id: id)
    }

    private func call(
        _ method: String, _ params: KeyValuePairs<String, JSONValue?> = [:], descriptors: [Int32] = [],
        isShown: Bool = true
    ) throws(Failure) -> JSONValue {
        let members = params.compactMap { pair in pair.value.map { JSONValue.Member(key: pair.key, value: $0) } }
        let result = try daemon.call(method, .object(members), descriptors: descriptors)
        if isShown {
            story.call(method, .object(members), result)
            story.pause()
        }
        return result
    }
}
