"""Words of a prompt that ask for a better picture, without describing its content or style."""

from __future__ import annotations

import re

# Ours, from the phrases that users of image generators repeat; the paper has a trained token classifier and
# names "8k" and "highly detailed" (ImageReward, appendix A.4). Words are parted by one space, as in `_words`.
PHRASES = """
2 k|4 k|8 k|16 k|32 k|64 k|hd|uhd|hdr|full hd|ultra hd|high definition|hi res|high res|high resolution
|hq|high quality|best quality|top quality|ultra quality|high detail|highest quality|good quality|quality
|detailed|high detailed|highly detailed|very detailed|ultra detailed|super detailed|hyper detailed
|hyperdetailed|ultradetailed|extremely detailed|insanely detailed|incredibly detailed|intricately detailed
|finely detailed|fine detail|fine details|intricate|intricate detail|intricate details|highly intricate
|extremely intricate|insane detail|insane details|lots of detail|lots of details|hyper detail|ultra detail
|sharp|sharp focus|in focus|crisp|clear focus|smooth|clean|ultra sharp|super sharp|depth of field|dof
|realistic|highly realistic|very realistic|hyper realistic|hyperrealistic|hyper realism|hyperrealism
|ultra realistic|ultrarealistic|super realistic|photo realistic|photorealistic|photo realism|photorealism
|photoreal|lifelike
|octane render|octane|rendered in octane|unreal engine|unreal engine 4|unreal engine 5|unreal 5|ue 4|ue 5
|vray|v ray|redshift|redshift render|blender|blender render|cycles render|cinema 4 d|c 4 d|ray tracing
|raytracing|raytraced|ray traced|path tracing|3 d render|global illumination|ambient occlusion|rtx|nvidia
|volumetric|volumetric light|volumetric lighting|studio lighting|cinematic lighting|cinematic light
|dramatic lighting|dramatic light|soft lighting|soft light|rim lighting|natural lighting|beautiful lighting
|perfect lighting|good lighting|moody lighting|epic lighting|lighting
|cinematic|cinematic shot|epic|dramatic|masterpiece|award winning|award winning photograph
|award winning photography|award winning photo|professional|professional photography|stunning|beautiful
|gorgeous|amazing|elegant|perfect|perfect composition|symmetrical|aesthetic|very aesthetic|breathtaking
|wallpaper|trending|trending on artstation|trending on art station|trending on pixiv|trending on cgsociety
|trending on deviantart|trending pixiv fanbox|featured on artstation|featured on pixiv|artstation
|artstation hq|artstationhq|deviantart|cgsociety|cg society|behance|behance hd|pixiv|zbrush central
|contest winner|vivid|vivid colors|vibrant|vibrant colors|post processing
"""
_LONGEST_FIRST = sorted(" ".join(PHRASES.split("\n")).strip().split("|"), key=len, reverse=True)
_FOUND = re.compile(rf"\b(?:{'|'.join(phrase.strip() for phrase in _LONGEST_FIRST)})\b")
_WORD = re.compile(r"\d+|[^\W\d_]+")


def function_share(text: str) -> float:
    """Words of function phrases among all words of the text, from 0 to 1; 0 of no words.

    "8k", "8 k" and "8-k" are the same two words.
    """
    words = " ".join(_WORD.findall(text.lower()))
    if not words:
        return 0.0
    covered = sum(1 + match.group().count(" ") for match in _FOUND.finditer(words))
    return covered / (1 + words.count(" "))
