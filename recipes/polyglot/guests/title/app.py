from wit_world import exports


class Title(exports.Title):
    def title(self, text: str) -> str:
        return text.title()
