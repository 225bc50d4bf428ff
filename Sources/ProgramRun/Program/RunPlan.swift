import Glibc
import JSONRPC

/// What the program is shown: two kinds of nodes, and the files beside them that clients list and read.
struct RunPlan {
    /// A device node, by the path that the program opens.
    struct Node: Hashable {
        enum Kind: Hashable {
            case iommu
            /// A vfio cdev, of the daemon's device with this name.
            case device(String)
        }

        let path: String
        let kind: Kind
    }

    /// A file of the shadow tree.
    struct File: Equatable {
        enum Content: Equatable {
            case text(String)
            case link(String)
        }

        let path: String
        let content: Content
    }

    private(set) var nodes: [Node] = [Node(path: "/dev/iommu", kind: .iommu)]
    private(set) var files: [File] = []

    /// A device as `topology.list` has it.
    struct Device {
        let name: String
        let group: UInt64

        init?(_ value: JSONValue) {
            guard let name = value["name"]?.stringValue, let group = value["group"]?.unsignedValue else { return nil }
            (self.name, self.group) = (name, group)
        }
    }

    /// - Parameter devices: vfio0, vfio1, … in this order.
    init(devices: [Device]) {
        for (index, device) in devices.enumerated() {
            nodes.append(Node(path: "/dev/vfio/devices/vfio\(index)", kind: .device(device.name)))
            add(device, "vfio\(index)")
        }
    }

    /// What a PCI device with a vfio driver shows in sysfs.
    private mutating func add(_ device: Device, _ node: String) {
        let own = "/sys/devices/iommud/\(device.name)"
        let facts = [
            "vendor": Self.hexadecimal(UInt32(PCIConfiguration.vendor), 4),
            "device": Self.hexadecimal(UInt32(PCIConfiguration.device), 4),
            "subsystem_vendor": Self.hexadecimal(UInt32(PCIConfiguration.vendor), 4),
            "subsystem_device": Self.hexadecimal(UInt32(PCIConfiguration.device), 4),
            "class": Self.hexadecimal(PCIConfiguration.classCode, 6), "revision": "0x01\n", "irq": "0\n",
            "numa_node": "-1\n", "enable": "0\n",
            "uevent": "DRIVER=vfio-pci\nPCI_SLOT_NAME=\(device.name)\n",
            "vfio-dev/\(node)/dev": Self.numbers, "vfio-dev/\(node)/uevent": "DEVNAME=vfio/devices/\(node)\n",
        ]
        for (name, text) in facts.sorted(by: { $0.key < $1.key }) {
            files.append(File(path: own + "/" + name, content: .text(text)))
        }
        let group = "/sys/kernel/iommu_groups/\(device.group)"
        if !files.contains(where: { $0.path == group + "/type" }) {
            files.append(File(path: group + "/type", content: .text("DMA\n")))
        }
        let links = [
            (own + "/iommu_group", "../../../kernel/iommu_groups/\(device.group)"),
            (own + "/driver", "../../../bus/pci/drivers/vfio-pci"), (own + "/subsystem", "../../../bus/pci"),
            (own + "/vfio-dev/\(node)/device", "../.."),
            (group + "/devices/\(device.name)", "../../../../devices/iommud/\(device.name)"),
            ("/sys/bus/pci/devices/\(device.name)", "../../../devices/iommud/\(device.name)"),
            ("/sys/bus/pci/drivers/vfio-pci/\(device.name)", "../../../../devices/iommud/\(device.name)"),
            ("/sys/class/vfio-dev/\(node)", "../../devices/iommud/\(device.name)/vfio-dev/\(node)"),
        ]
        files += links.map { File(path: $0.0, content: .link($0.1)) }
    }

    /// Of the character device that stands in the place of every node.
    static let standIn = "/dev/null"
    static let (standInMajor, standInMinor): (UInt32, UInt32) = (1, 3)
    private static let numbers = "\(standInMajor):\(standInMinor)\n"

    private static func hexadecimal(_ value: UInt32, _ digits: Int) -> String {
        let text = String(value, radix: 16)
        return "0x" + String(repeating: "0", count: digits - text.count) + text + "\n"
    }
}

// MARK: - To the stage

extension RunPlan {
    /// For the process that becomes the program.
    var text: String {
        let nodes = nodes.map { JSONValue.string($0.path) }
        let files = files.map { file in
            switch file.content {
            case .text(let text): JSONValue.given([("path", .string(file.path)), ("text", .string(text))])
            case .link(let target): JSONValue.given([("path", .string(file.path)), ("link", .string(target))])
            }
        }
        return JSONValue.given([("nodes", .array(nodes)), ("files", .array(files))]).text
    }

    /// Paths and files of a text that ``text`` has made; nil if it is none.
    static func parse(_ text: String) -> (nodes: [String], files: [File])? {
        guard let value = try? JSONValue(parsing: text), let nodes = value["nodes"]?.arrayValue,
            let files = value["files"]?.arrayValue
        else { return nil }
        let parsed = files.compactMap { file -> File? in
            guard let path = file["path"]?.stringValue else { return nil }
            if let text = file["text"]?.stringValue { return File(path: path, content: .text(text)) }
            return file["link"]?.stringValue.map { File(path: path, content: .link($0)) }
        }
        return (nodes.compactMap(\.stringValue), parsed)
    }
}
