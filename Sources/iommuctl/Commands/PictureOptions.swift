import ArgumentParser
import JSONRPC

/// Whether a command draws a picture.
struct PictureOptions: ParsableArguments {
    @Flag(help: "Write a picture instead, as SVG.")
    var svg = false

    @Flag(help: "Write a graph for Graphviz instead.")
    var dot = false

    func validate() throws {
        if svg && dot { throw ValidationError("--svg and --dot are two pictures: give one of them.") }
    }

    /// Writes the picture that was asked for, if one was.
    func draw(_ picture: () -> Picture) -> Bool {
        guard svg || dot else { return false }
        StandardOutput.write(svg ? picture().svg : picture().dot)
        return true
    }
}
