/// What a domain of libvirt needs for an iommufd that is given to it by name (libvirt 12.2 and newer).
public enum DomainXML {
    /// The name of the descriptors, as `virsh dom-fd-associate` takes it.
    public static let group = "iommufd"

    /// Two parts, one for the domain itself and one for its `<devices>`.
    ///
    /// - Parameter devices: names of PCI functions; libvirt opens their nodes itself.
    /// - Returns: nil if a name is no address of a PCI function.
    public static func text(devices: [String]) -> String? {
        var lines = ["<!-- in <domain> -->", "<iommufd enabled='yes' fdgroup='\(group)'/>", "<!-- in <devices> -->"]
        for name in devices {
            guard let address = PCIAddress(name) else { return nil }
            lines += [
                "<hostdev mode='subsystem' type='pci' managed='no'>",
                "  <driver name='vfio' iommufd='yes'/>",
                "  <source>",
                "    <address domain='0x\(address.domain)' bus='0x\(address.bus)' slot='0x\(address.slot)' "
                    + "function='0x\(address.function)'/>",
                "  </source>",
                "</hostdev>",
            ]
        }
        return lines.joined(separator: "\n") + "\n"
    }
}

/// `0000:01:00.0`
public struct PCIAddress: Sendable, Equatable {
    /// Four or more hexadecimal digits.
    public let domain: String
    /// Two.
    public let bus: String
    /// Two: at most 1f.
    public let slot: String
    /// One: at most 7.
    public let function: String

    /// nil for what is no address.
    public init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 3 else { return nil }
        let last = parts[2].split(separator: ".", omittingEmptySubsequences: false)
        guard last.count == 2, parts[0].count >= 4, parts[0].count <= 8, parts[1].count == 2, last[0].count == 2,
            last[1].count == 1, ([parts[0], parts[1]] + last).allSatisfy({ $0.allSatisfy(\.isHexDigit) }),
            let slot = UInt8(last[0], radix: 16), slot < 32, let function = UInt8(last[1], radix: 16), function < 8
        else { return nil }
        (domain, bus, self.slot, self.function) = (String(parts[0]), String(parts[1]), String(last[0]), String(last[1]))
    }
}
